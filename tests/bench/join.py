#!/usr/bin/env python3
"""How long a whole domain-join check of one domain controller takes, beside its slowest part done alone.

    sudo tests/bench/join.py [--probe target/release/sekisho-probe] [--runs 3]

Brings a lab up, and for each VLAN runs `sekisho-probe check corp.example` as nobody, then every service and every check of
the vantage alone. The limits: the whole takes at most 1.5 times its slowest part; in the clean VLAN under 3 s, in the worst
under 20 s.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
LAB = "bench-join"
VLANS = ["vlan10", "vlan20", "vlan30"]
CHECKS = ["resolver", "srv-records", "clock", "path-mtu", "computer-account", "host"]
RATIO, CLEAN, WORST = 1.5, 3.0, 20.0


def lab(arguments):
    command = [REPO / "target/debug/sekisho-lab", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check(probe, vlan, arguments):
    """Seconds of one run, and what it printed."""
    command = [REPO / "target/debug/sekisho-lab", "exec", "--name", LAB, "--user", "nobody", vlan, "--", probe]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "check", "corp.example", "--computer", "bench1", "--format", "json", *arguments],
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - began
    if done.returncode == 1:
        sys.exit(f"{vlan} {' '.join(arguments)}: {done.stderr}")
    return seconds, json.loads(done.stdout)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--probe", default=str(REPO / "target/release/sekisho-probe"))
    options.add_argument("--runs", type=int, default=3)
    options = options.parse_args()
    lab(["up", "--name", LAB])
    failed = False
    try:
        print(f"{'vlan':8} {'whole':>8} {'slowest part':>14} {'ratio':>6}  part")
        for vlan in VLANS:
            whole, matrix = [], None
            for _ in range(options.runs):
                seconds, matrix = check(options.probe, vlan, [])
                whole.append(seconds)
            parts = {}
            for service in sorted({cell["service"] for cell in matrix["cells"]}):
                parts[service] = check(options.probe, vlan, ["--service", service])[0]
            for name in CHECKS:
                parts[name] = check(options.probe, vlan, ["--check", name])[0]
            slowest = max(parts, key=parts.get)
            median, ratio = statistics.median(whole), statistics.median(whole) / parts[slowest]
            print(f"{vlan:8} {median:7.2f}s {parts[slowest]:13.2f}s {ratio:6.2f}  {slowest}")
            limit = CLEAN if vlan == "vlan10" else WORST
            failed |= median > limit or ratio > RATIO
    finally:
        lab(["down", "--name", LAB])
    print("a limit is broken" if failed else "within every limit")
    sys.exit(failed)


if __name__ == "__main__":
    main()
