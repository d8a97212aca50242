//! An endpoint mapper that maps whatever it is asked for (C706 appendix O, MS-RPCE 2.2.1.2).

/// `bind_ack` with one accepted context (C706 12.6.4.4), in answer to a bind: with its call number.
pub(super) fn bind_ack(request: &[u8]) -> Vec<u8> {
    let mut body = [5840_u16, 5840].into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    body.extend(0x0001_2345_u32.to_le_bytes());
    // Secondary address "135", padding to 4, one result: acceptance, with NDR as the syntax.
    body.extend([4, 0, b'1', b'3', b'5', 0, 0, 0]);
    body.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    body.extend([
        0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0, 0x2b, 0x10, 0x48, 0x60,
    ]);
    body.extend([2, 0, 0, 0]);
    pdu(12, call(request), &body)
}

/// Answer to an `ept_map`: these ports for the interface of the request.
pub(super) fn map(request: &[u8], address: [u8; 4], ports: &[u16]) -> Vec<u8> {
    let count = u32::try_from(ports.len()).unwrap_or(u32::MAX);
    let mut stub = vec![0; 20];
    for number in [count, count, 0, count] {
        stub.extend(number.to_le_bytes());
    }
    for place in 0..count {
        stub.extend((place + 3).to_le_bytes());
    }
    for port in ports {
        let tower = tower(request, address, *port);
        let length = u32::try_from(tower.len()).unwrap_or(0);
        stub.extend(length.to_le_bytes());
        stub.extend(length.to_le_bytes());
        stub.extend(tower);
        stub.resize(stub.len().next_multiple_of(4), 0);
    }
    stub.extend(0_u32.to_le_bytes());
    let mut body = u32::try_from(stub.len()).unwrap_or(0).to_le_bytes().to_vec();
    body.extend([0; 4]);
    body.extend(stub);
    pdu(2, call(request), &body)
}

/// The tower of the request with another port and address. Its two floors with UUIDs are taken as they are.
fn tower(request: &[u8], address: [u8; 4], port: u16) -> Vec<u8> {
    // Header 16, hint 4, context 2, operation 2, object 20, reference 4, conformance and length 8; then the tower.
    let asked = request.get(56..).unwrap_or_default();
    let floors = asked.get(2..2 + 2 * 25).unwrap_or_default();
    let mut out = vec![5, 0];
    out.extend(floors);
    out.extend([1, 0, 0x0b, 2, 0, 0, 0]);
    out.extend([1, 0, 0x07, 2, 0]);
    out.extend(port.to_be_bytes());
    out.extend([1, 0, 0x09, 4, 0]);
    out.extend(address);
    out
}

fn call(request: &[u8]) -> [u8; 4] {
    request.get(12..16).and_then(|octets| octets.try_into().ok()).unwrap_or([1, 0, 0, 0])
}

fn pdu(kind: u8, call: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).unwrap_or(u16::MAX);
    let mut out = vec![5, 0, kind, 3, 0x10, 0, 0, 0];
    out.extend(length.to_le_bytes());
    out.extend([0, 0]);
    out.extend(call);
    out.extend(body);
    out
}
