//! Compiles the contract without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=sekisho");
    let files = protox::compile(["sekisho/v1/fleet.proto"], ["."])?;
    tonic_prost_build::configure().codec_path("crate::codec::Codec").compile_fds(files)?;
    Ok(())
}
