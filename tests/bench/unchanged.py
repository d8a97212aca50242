#!/usr/bin/env python3
"""Counts false changes: many sweeps of a lab that does not change, while packets are lost.

    sudo tests/bench/unchanged.py [--sweeps 200] [--loss 5] [--profile domain-join] [--json FILE]

Brings a lab up with a controller and a probe in each VLAN, all of their debug builds, loses packets between the routers in
each direction, and sweeps. Nothing in the lab changes: every difference of two sweeps that follow each other is false, and
so is every span but the first one of a flow. A sweep takes 10 to 20 seconds. Ends with 1 where there is a false change.
"""

import argparse
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILT = REPO / "target/debug"
VLANS = ["vlan10", "vlan20", "vlan30"]
TARGETS = "10.77.1.0/24"
ONLINE_WITHIN = 60


class Bench:
    """A lab, a controller, and probes."""

    def __init__(self, stack, name, folder, loss):
        self.name, self.folder = name, folder
        for program in ["sekisho", "sekisho-probe"]:
            # Copies where every user may run them.
            shutil.copy(BUILT / program, folder)
        stack.callback(self.lab, "down")
        self.lab("up")
        if loss:
            self.lab("loss", "--percent", str(loss))
        self.serve(stack)
        inventory = folder / "inventory.toml"
        inventory.write_text(run([BUILT / "sekisho-lab", "inventory"]))
        self.sekisho("apply", inventory)
        for vlan in VLANS:
            self.probe(stack, vlan)
        deadline = time.monotonic() + ONLINE_WITHIN
        while sum(probe["status"] == "online" for probe in self.read("probe", "list")) < len(VLANS):
            if time.monotonic() > deadline:
                sys.exit(f"the probes did not come online within {ONLINE_WITHIN} s")
            time.sleep(0.2)

    def lab(self, task, *arguments):
        return run([BUILT / "sekisho-lab", task, "--name", self.name, *arguments])

    def serve(self, stack):
        command = [self.folder / "sekisho", "serve", "--data-dir", self.folder / "controller"]
        command += ["--fleet-listen", "0.0.0.0:0", "--web-listen", "127.0.0.1:0"]
        log = stack.enter_context(open(self.folder / "controller.log", "w"))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        stack.callback(ended, process)
        ready = process.stdout.readline()
        if not ready.startswith("ready "):
            sys.exit(f"the controller does not serve: {(self.folder / 'controller.log').read_text()}")
        fleet = next(word for word in ready.split() if word.startswith("fleet="))
        address = self.lab("status").split("controller address ")[1].split()[0]
        self.address = f"https://{address}:{fleet.rsplit(':', 1)[1]}"

    def probe(self, stack, vlan):
        state = self.folder / f"probe-{vlan}"
        state.mkdir()
        nobody = pwd.getpwnam("nobody")
        os.chown(state, nobody.pw_uid, nobody.pw_gid)
        token = self.sekisho("probe", "token", "--vantage", vlan).strip()
        within = [BUILT / "sekisho-lab", "exec", "--name", self.name, "--user", "nobody", vlan, "--"]
        probe = [*within, self.folder / "sekisho-probe"]
        run([*probe, "enroll", "--controller", self.address, "--token", token, "--allow", TARGETS, "--state-dir", state])
        log = stack.enter_context(open(self.folder / f"{vlan}.log", "w"))
        process = subprocess.Popen([*probe, "run", "--state-dir", state], stdout=log, stderr=log)
        stack.callback(ended, process)

    def sekisho(self, *arguments, statuses=(0,)):
        return run([self.folder / "sekisho", "--data-dir", self.folder / "controller", *arguments], statuses)

    def read(self, *arguments):
        """What a reading command says; 2 and 3 are answers too."""
        return json.loads(self.sekisho(*arguments, "--format", "json", statuses=(0, 2, 3)))


def run(command, statuses=(0,)):
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in statuses:
        sys.exit(f"{' '.join(command)}: {done.returncode}: {done.stderr}")
    return done.stdout


def ended(process):
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()


def measure(bench, options):
    seconds, changes, compared, untested, missed = [], [], 0, [], 0
    last = None
    for number in range(1, options.sweeps + 1):
        began = time.monotonic()
        sweep = bench.read("sweep", "run", "--wait", "--profile", options.profile)["sweep"]
        seconds.append(time.monotonic() - began)
        missed += sweep["missed"]
        if last is not None:
            diff = bench.read("diff", str(last), str(sweep["id"]))
            false = [change for change in diff["changes"] if change["kind"] != "untested"]
            untested.append(len(diff["changes"]) - len(false))
            compared += diff["unchanged"] + len(false)
            changes += [{"sweep": sweep["id"], **change} for change in false]
            for change in false:
                flow = f"{change['vantage']} {change['target']} {change['service']}"
                print(f"sweep {sweep['id']}: {change['kind']} {flow}: {change['from']} -> {change['to']}", flush=True)
        last = sweep["id"]
        if number % 10 == 0:
            print(f"{number} sweeps, {len(changes)} false changes", file=sys.stderr, flush=True)
    torn, flows = [], 0
    for cell in bench.read("matrix")["cells"]:
        flow = ["--vantage", cell["vantage"], "--target", cell["target"], "--service", cell["service"]]
        spans = bench.read("history", *flow)
        flows += bool(spans)
        if len(spans) > 1:
            torn.append({"flow": flow[1::2], "spans": len(spans)})
            print(f"{' '.join(flow[1::2])}: {len(spans)} spans", flush=True)
    return {
        "sweeps": options.sweeps,
        "loss_percent": options.loss,
        "seconds_median": statistics.median(seconds),
        "seconds_worst": max(seconds),
        "flows": flows,
        "compared": compared,
        "false_changes": changes,
        "torn_flows": torn,
        "untested_most": max(untested, default=0),
        "untested_least": min(untested, default=0),
        "missed": missed,
    }


def table(result):
    rows = [
        ("sweeps", result["sweeps"]),
        ("loss each way", f"{result['loss_percent']} %"),
        ("one sweep, median (worst)", f"{result['seconds_median']:.1f} s ({result['seconds_worst']:.1f} s)"),
        ("flows with an outcome", result["flows"]),
        ("flows compared with the sweep before", result["compared"]),
        ("untested in a comparison, least to most", f"{result['untested_least']} to {result['untested_most']}"),
        ("missed in all sweeps", result["missed"]),
        ("**false changes**", len(result["false_changes"])),
        ("flows of more than one span", len(result["torn_flows"])),
    ]
    return "\n".join(["| measured | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sweeps", type=int, default=200, help="how many (200)")
    options.add_argument("--loss", type=int, default=5, help="per cent of the packets, each way (5)")
    options.add_argument("--profile", default="domain-join", help="what is tested (domain-join)")
    options.add_argument("--name", default="bench-unchanged", help="name of the lab")
    options.add_argument("--json", type=pathlib.Path, help="file for the result, with every false change")
    options = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sekisho-unchanged-")))
        folder.chmod(0o755)
        result = measure(Bench(stack, options.name, folder, options.loss), options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(bool(result["false_changes"] or result["torn_flows"]))


if __name__ == "__main__":
    main()
