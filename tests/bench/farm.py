#!/usr/bin/python3
"""Times sekisho-probe, nmap and blackbox_exporter on the same 2400 flows behind an access list.

Brings up a lab of its own with 200 hosts x 12 ports, of which two are dropped, one is prohibited by ICMP and one is
closed, and takes it down again whatever happens. See README.md.
"""

import argparse
import asyncio
import contextlib
import ctypes
import datetime
import ipaddress
import json
import os
import platform
import pwd
import resource
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
USER = "nobody"
VANTAGE = "vlan20"

PROBE = "sekisho-probe check"
NMAP_CONNECT = "nmap -sT -T4"
NMAP_SYN = "nmap -sS -T4"
BLACKBOX = "blackbox_exporter"

BLACKBOX_PORT = 9115
BLACKBOX_AT_ONCE = 300
BLACKBOX_CONFIG = "modules:\n  tcp:\n    prober: tcp\n    timeout: 2s\n"

# What is aimed at.
SHARE_OF_NMAP = 5
MAX_MEMORY_MB = 20
MAX_BINARY_MB = 8

# What the programs need: command and Debian package.
COMMANDS = {
    "ip": "iproute2",
    "nft": "nftables",
    "setpriv": "util-linux",
    "samba": "samba",
    "nmap": "nmap",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
}


class Failure(Exception):
    """Something that ends the benchmark with one line."""


# The truth ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    outcome: str
    by: str | None


def read_truth(hosts):
    """Every flow of the farm as the vantage should see it, from the lab's own files."""
    lab = ROOT / "tests/lab"
    topology = tomllib.loads((lab / "topology.toml").read_text())["farm"]
    truth = tomllib.loads((lab / "truth.toml").read_text())["farm"]
    flows = next(flows for flows in truth["flows"] if flows["vantage"] == VANTAGE)
    of_service = dict.fromkeys(truth["services"], flows["default"])
    for exception in flows["except"]:
        of_service |= dict.fromkeys(exception["services"], exception)
    addresses = [str(a) for a, _ in zip(ipaddress.ip_network(topology["network"]).hosts(), range(hosts))]
    return {
        (address, int(service.removeprefix("tcp/"))): Expected(what["outcome"], what.get("by"))
        for address in addresses
        for service, what in of_service.items()
    }


def wrong_verdicts(name, truth, seen):
    """The flows that a program has wrong, by what they are and what it says, each as good as the program can tell."""
    wrong = Counter()
    for flow, expected in truth.items():
        told = seen.get(flow, "nothing")
        if name == BLACKBOX:
            right = told == ("open" if expected.outcome == "open" else "not open")
        elif name in (NMAP_CONNECT, NMAP_SYN):
            right = told == {"rejected": "filtered"}.get(expected.outcome, expected.outcome)
        else:
            right = told == (f"{expected.outcome} by {expected.by}" if expected.by else expected.outcome)
        if not right:
            wrong[f"{expected.outcome} as {told}"] += 1
    return wrong


def verdicts_of_probe(text):
    cells = json.loads(text)["cells"]
    return {
        (cell["address"], cell["port"]): cell["outcome"] + (f" by {cell['by']}" if cell.get("by") else "")
        for cell in cells
    }


def verdicts_of_nmap(text):
    return {
        (host.find("address").get("addr"), int(port.get("portid"))): port.find("state").get("state")
        for host in ElementTree.fromstring(text).iter("host")
        for port in host.iter("port")
    }


# What runs inside of the vantage, as the user of the measured program -------------------------------------------------


def become_subreaper():
    """Orphans of this process become its children, so that it can wait for them."""
    set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def inside_time(limit, argv):
    """Runs a command and prints what it took and what it said, as JSON.

    A process inherits the memory mark of the one that became it, and this one is larger than what is measured. So a
    small shell starts the command and leaves it behind as an orphan.
    """
    become_subreaper()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        shell = subprocess.Popen(
            ["/bin/sh", "-c", 'out=$1; shift; "$@" >&"$out" & echo $!', "sh", str(out.fileno()), *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, pass_fds=[out.fileno()],
        )
        pid = int(shell.stdout.readline())
        shell.wait()
        ended = wait_within(pid, began + limit)
        if ended is None:
            os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
        else:
            status, usage = ended
        wall = time.monotonic() - began
        out.seek(0)
        err.seek(0)
        report = {
            "wall_s": wall,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "memory_mb": usage.ru_maxrss * 1024 / 1e6,
            "finished": ended is not None,
            "code": os.waitstatus_to_exitcode(status),
            "out": out.read().decode(),
            "err": err.read().decode()[-2000:],
        }
    json.dump(report, sys.stdout)


def wait_within(pid, deadline):
    """Waits for a child until then. Gives its status and usage, or None."""
    handle = os.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(max(0, deadline - time.monotonic()) * 1000):
            return None
        _, status, usage = os.wait4(pid, 0)
        return status, usage
    finally:
        os.close(handle)


def inside_blackbox(config, flows):
    """Runs blackbox_exporter, asks it for every flow, and prints what it took and what it said, as JSON."""
    server = subprocess.Popen(
        ["prometheus-blackbox-exporter", f"--config.file={config}", "--log.level=error",
         f"--web.listen-address=127.0.0.1:{BLACKBOX_PORT}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )
    try:
        asyncio.run(blackbox_ready())
        idle, before = high_water_mb(server.pid), cpu_seconds(server.pid)
        began = time.monotonic()
        seen = asyncio.run(blackbox_ask(flows))
        report = {
            "wall_s": time.monotonic() - began,
            "cpu_s": cpu_seconds(server.pid) - before,
            "memory_mb": high_water_mb(server.pid),
            "idle_mb": idle,
            "finished": True,
            "seen": seen,
        }
    finally:
        server.terminate()
        server.wait()
    json.dump(report, sys.stdout)


async def blackbox_ready():
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", BLACKBOX_PORT)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise Failure("blackbox_exporter did not start")


async def blackbox_ask(flows):
    waiting = iter(flows)
    seen = []

    async def worker():
        reader, writer = await asyncio.open_connection("127.0.0.1", BLACKBOX_PORT)
        for address, port in waiting:
            writer.write(
                f"GET /probe?module=tcp&target={address}:{port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            body = await http_body(reader)
            seen.append([address, port, "open" if b"\nprobe_success 1" in body else "not open"])
        writer.close()

    await asyncio.gather(*(worker() for _ in range(BLACKBOX_AT_ONCE)))
    return seen


async def http_body(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"\r\ntransfer-encoding: chunked\r\n" not in head:
        length = int(head.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        return await reader.readexactly(length)
    body = b""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return body
        body += chunk[:-2]


def high_water_mb(pid):
    """The largest resident memory that the process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The lab and the programs in it ---------------------------------------------------------------------------------------


@dataclass
class Bench:
    lab_program: Path
    name: str
    folder: Path
    limit: int
    truth: dict
    child: subprocess.Popen | None = None
    runs: list = field(default_factory=list)

    @property
    def addresses(self):
        return list(dict.fromkeys(address for address, _ in self.truth))

    @property
    def ports(self):
        return list(dict.fromkeys(port for _, port in self.truth))

    def lab(self, verb, *arguments):
        argv = [self.lab_program, verb, "--name", self.name, *arguments]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True)
        if done.returncode != 0:
            raise Failure(f"sekisho-lab {verb}: {done.stderr.strip()}")

    def inside(self, user, *arguments, text=None):
        """Runs a part of this file in the vantage, and gives what it reports."""
        as_user = ["--user", user] if user else []
        argv = [self.lab_program, "exec", "--name", self.name, *as_user, VANTAGE, "--", PYTHON,
                self.folder / "farm.py", "--inside", *arguments]
        self.child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=self.folder, start_new_session=True,
        )
        # Where this is interrupted, `close` ends the child.
        out, err = self.child.communicate(text)
        code, self.child = self.child.returncode, None
        if code != 0:
            raise Failure(f"{' '.join(map(str, arguments[:3]))} ... in {VANTAGE}: {err.strip()[-1000:]}")
        return json.loads(out)

    def timed(self, user, argv, codes, verdicts):
        report = self.inside(user, "time", str(self.limit), *argv)
        out = report.pop("out")
        if report["finished"] and report["code"] not in codes:
            raise Failure(f"{argv[0]} ended with {report['code']}: {report['err'].strip()}")
        return report, verdicts(out) if report["finished"] else {}

    def probe(self, options):
        services = [word for port in self.ports for word in ("--service", f"tcp/{port}")]
        argv = [str(self.folder / "sekisho-probe"), "check", *self.addresses, *services, "--format", "json", *options]
        return self.timed(USER, argv, (0, 2, 3), verdicts_of_probe)

    def nmap(self, scan, user):
        ports = ",".join(map(str, self.ports))
        argv = ["nmap", scan, "-T4", "-n", "-Pn", "-oX", "-", "-p", ports, *self.addresses]
        return self.timed(user, argv, (0,), verdicts_of_nmap)

    def blackbox(self):
        config = self.folder / "blackbox.yml"
        report = self.inside(USER, "blackbox", str(config), text=json.dumps(list(self.truth)))
        return report, {(address, port): told for address, port, told in report.pop("seen")}

    def run(self, name, options):
        if name == NMAP_CONNECT:
            return self.nmap("-sT", USER)
        if name == NMAP_SYN:
            return self.nmap("-sS", None)
        if name == BLACKBOX:
            return self.blackbox()
        return self.probe(options)

    def measure(self, rounds, losses, programs):
        for number in range(1, rounds + 1):
            for percent in losses:
                self.lab("loss", "--percent", str(percent))
                for name, options in programs.items():
                    load = os.getloadavg()[0]
                    report, seen = self.run(name, options)
                    wrong = wrong_verdicts(name, self.truth, seen)
                    self.runs.append({"program": name, "loss_percent": percent, "round": number, "load": load,
                                      **report, "wrong": wrong.total(), "wrong_by_kind": dict(wrong)})
                    note(f"round {number}, loss {percent} %, {name}: {report['wall_s']:.2f} s, "
                         f"{report['memory_mb']:.1f} MB, {wrong.total()} wrong {dict(wrong) or ''}")

    def close(self):
        """Ends what runs and takes the lab down. Nothing interrupts this."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if self.child:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        try:
            self.lab("down")
        except Failure as failure:
            note(f"farm.py: {failure}; take the lab down by hand: sekisho-lab down --name {self.name}")


def note(text):
    print(text, file=sys.stderr, flush=True)


# The report -----------------------------------------------------------------------------------------------------------


def of(runs, key):
    return [run[key] for run in runs]


def spread(values, form):
    return f"{statistics.median(values):{form}} ({min(values):{form}}..{max(values):{form}})"


def table(runs, losses, programs, flows):
    lines = [f"| loss each way | program | time, s | peak memory, MB | CPU, s | wrong of {flows} |",
             "|---|---|---|---|---|---|"]
    for percent in losses:
        for name in programs:
            chosen = [run for run in runs if (run["program"], run["loss_percent"]) == (name, percent)]
            finished = [run for run in chosen if run["finished"]]
            stopped = len(chosen) - len(finished)
            remark = f"; {stopped} of {len(chosen)} runs stopped" if stopped else ""
            wrong = spread(of(finished, "wrong"), "g") if finished else "no verdict"
            lines.append(
                f"| {percent} % | {name} | {spread(of(chosen, 'wall_s'), '.2f')}{remark} "
                f"| {spread(of(chosen, 'memory_mb'), '.1f')} | {spread(of(chosen, 'cpu_s'), '.2f')} | {wrong} |"
            )
    return lines


def targets(runs, losses, binary_mb):
    def verdict(reached):
        return "reached" if reached else "MISSED"

    def chosen(name, percent=None):
        return [run for run in runs if run["program"] == name and percent in (None, run["loss_percent"])]

    lines = ["| target | measured | |", "|---|---|---|"]
    for percent in losses:
        own = chosen(PROBE, percent)
        finished = all(of(own, "finished"))
        wrong = max(of(own, "wrong"))
        lines.append(f"| no wrong verdict in any round, {percent} % loss "
                     f"| {f'at most {wrong}' if finished else 'stopped'} | {verdict(finished and wrong == 0)} |")
        share = statistics.median(of(chosen(NMAP_CONNECT, percent), "wall_s")) / statistics.median(of(own, "wall_s"))
        lines.append(f"| at most 1/{SHARE_OF_NMAP} of the time of {NMAP_CONNECT}, {percent} % loss "
                     f"| {f'1/{share:.1f}' if finished else 'stopped'} "
                     f"| {verdict(finished and share >= SHARE_OF_NMAP)} |")
    memory = max(of(chosen(PROBE), "memory_mb"))
    lines.append(f"| peak memory < {MAX_MEMORY_MB} MB in every round | {memory:.1f} MB "
                 f"| {verdict(memory < MAX_MEMORY_MB)} |")
    lines.append(f"| binary < {MAX_BINARY_MB} MB | {binary_mb:.2f} MB | {verdict(binary_mb < MAX_BINARY_MB)} |")
    return lines


def facts(probe):
    """The machine, without its name, and the versions."""
    built = datetime.datetime.fromtimestamp(probe.stat().st_mtime, datetime.UTC)

    def first_line(*argv):
        done = subprocess.run(argv, capture_output=True, text=True)
        return next(iter((done.stdout + done.stderr).splitlines()), "").split(" (")[0]

    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "probe": first_line(probe, "--version"),
        "probe_built": built.isoformat(timespec="minutes"),
        "nmap": first_line("nmap", "--version"),
        "blackbox_exporter": first_line("prometheus-blackbox-exporter", "--version"),
    }


# The command ----------------------------------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--hosts", type=int, default=200, help="hosts of the farm, 1 to 200 (default 200)")
    parser.add_argument("--loss", type=int, action="append", metavar="PERCENT",
                        help="packets lost each way; may be repeated (default 0 and 5)")
    parser.add_argument("--variant", action="append", default=[], metavar="OPTIONS",
                        help="measure the probe with these options as well, such as --variant='--rate 50'")
    parser.add_argument("--limit", type=int, default=180, help="seconds after which a run is stopped (default 180)")
    parser.add_argument("--name", default="bench", help="name of the lab (default bench)")
    parser.add_argument("--probe", type=Path, default=ROOT / "target/release/sekisho-probe", help="release binary")
    parser.add_argument("--lab", type=Path, default=ROOT / "target/debug/sekisho-lab", help="the lab's program")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there")
    return parser.parse_args()


def check_machine(args):
    if os.geteuid() != 0:
        raise Failure("network namespaces need root: run with sudo")
    missing = sorted({package for command, package in COMMANDS.items() if not shutil.which(command)})
    if missing:
        raise Failure(f"missing: apt-get install --no-install-recommends {' '.join(missing)}")
    for program, package in ((args.probe, "-r -p sekisho-probe"), (args.lab, "-p sekisho-lab")):
        if not os.access(program, os.X_OK):
            raise Failure(f"no {program}: cargo build {package}")
    labs = subprocess.run([args.lab, "list"], capture_output=True, text=True).stdout
    if any(line.split()[:1] == [args.name] for line in labs.splitlines()):
        raise Failure(f"lab {args.name} exists: sekisho-lab down --name {args.name}, or another --name")


def interrupted(number, _):
    raise KeyboardInterrupt(signal.Signals(number).name)


def main():
    args = arguments()
    check_machine(args)
    losses = args.loss or [0, 5]
    machine = facts(args.probe)
    programs = {PROBE: []}
    programs |= {f"{PROBE} {options}": shlex.split(options) for options in args.variant}
    programs |= {NMAP_CONNECT: [], NMAP_SYN: [], BLACKBOX: []}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        for source, name in ((args.probe, "sekisho-probe"), (Path(__file__), "farm.py")):
            shutil.copy(source, folder / name)
            (folder / name).chmod(0o755)
        (folder / "blackbox.yml").write_text(BLACKBOX_CONFIG)
        (folder / "blackbox.yml").chmod(0o644)
        binary_mb = (folder / "sekisho-probe").stat().st_size / 1e6
        bench = Bench(args.lab.resolve(), args.name, folder, args.limit, read_truth(args.hosts))
        try:
            bench.lab("up")
            bench.lab("farm", "--hosts", str(args.hosts))
            bench.measure(args.rounds, losses, programs)
        finally:
            bench.close()
    loads = of(bench.runs, "load")
    print(f"{machine['date']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['nmap']}, "
          f"{machine['blackbox_exporter']}; load average during the runs {min(loads):.1f} to {max(loads):.1f}.")
    print(f"Median of {args.rounds} rounds (smallest..largest); a MB is 10^6 bytes. "
          f"Probe built {machine['probe_built']}, {binary_mb:.2f} MB.\n")
    print("\n".join(table(bench.runs, losses, programs, len(bench.truth))), end="\n\n")
    print("\n".join(targets(bench.runs, losses, binary_mb)))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine, "binary_mb": binary_mb, "runs": bench.runs}, indent=1))


if __name__ == "__main__":
    try:
        if sys.argv[1:3] == ["--inside", "time"]:
            inside_time(float(sys.argv[3]), sys.argv[4:])
        elif sys.argv[1:3] == ["--inside", "blackbox"]:
            inside_blackbox(sys.argv[3], json.load(sys.stdin))
        else:
            main()
    except Failure as failure:
        note(f"farm.py: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        note("farm.py: interrupted")
        sys.exit(130)
