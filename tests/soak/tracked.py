#!/usr/bin/env python3
"""Keeps many tracked sessions alive for a long time, and measures.

Starts `edm-agent sandbox`, opens the sessions as another uploader would, gives
them to `edm-agent run`, and looks every few seconds: is every session still
there, and what do memory, descriptors and the journal take? Fails if a lease
lapsed, or if at the end any of the three is further above its value at minute
five than the tolerance. The journal's log is emptied each time it has grown to
some megabytes, and the allocator gives memory back and takes it again, so of
these two the most over the two minutes before counts.
Needs nothing but Python and the binary.

    tests/soak/tracked.py --binary target/release/edm-agent
    tests/soak/tracked.py --binary target/debug/edm-agent --sessions 50 --minutes 1 --from-minute 0.2
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

STORE = "PatientRecords"
PATIENCE = 30


class Local(http.client.HTTPConnection):
    """A connection to the agent's socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        text = None if body is None else json.dumps(body)
        self.request(method, path, text, {"content-type": "application/json"} if text else {})
        answer = self.getresponse()
        value = json.loads(answer.read())
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {value}")
        return value


class Service:
    """The sandbox, as another uploader sees it."""

    def __init__(self, binary, home, ttl):
        command = [binary, "sandbox", "--listen", "127.0.0.1:0", "--session-ttl", ttl, "--sessions-per-day", "1000000"]
        command += ["--token-file", str(home / "token")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(home / "sandbox.log", "w"), text=True)
        self.settings = ""
        while "session_ttl" not in self.settings:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("the sandbox ended: see its log")
            self.settings += line
        self.root = self.settings.split('base_url = "')[1].split('"')[0] + "/dataClassification/exactMatchDataStores"
        self.token = (home / "token").read_text().strip()
        self.store = next(s["id"] for s in self.ask("GET", "")["value"] if s["displayName"] == STORE)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.root + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("client-request-id", "0f4e8f4c-1111-4222-8333-444444444444")
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def open(self, number, blocks):
        draft = {"fileName": f"soak-{number}.EdmHash", "totalBlockCount": blocks, "remainingBlockCount": blocks}
        return self.ask("POST", f"/{self.store}/sessions", draft)["id"]

    def alive(self):
        return self.ask("GET", f"/{self.store}/sessions/$count")


def usage(pid, state):
    """Memory in KiB, descriptors, threads, bytes of the journal's files."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    journal = sum(file.stat().st_size for file in state.glob("journal*"))
    return int(status["VmRSS"].split()[0]), descriptors, int(status["Threads"]), journal


def most(usages):
    """The figures now, but of memory and the journal the most of two minutes."""
    late = [figures for when, figures in usages if when > usages[-1][0] - 120]
    _, descriptors, threads, _ = late[-1]
    return max(figures[0] for figures in late), descriptors, threads, max(figures[3] for figures in late)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not happen in {PATIENCE} s")
        time.sleep(0.05)


def soak(options, home):
    binary, state, sock = options.binary, home / "state", str(home / "agent.sock")
    service = Service(binary, home, options.ttl)
    agent = None
    try:
        config = home / "agent.toml"
        config.write_text(
            f'state_dir = "{state}"\n{service.settings}\n[control]\nsocket = "{sock}"\n[http]\nlisten = ""\n'
            '[log]\nlevel = "warn"\n'
        )
        log = open(home / "agent.log", "w")
        agent = subprocess.Popen([binary, "run", "--config", str(config)], stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(sock), "the agent's socket")
        local, sessions = Local(sock), []
        began = time.monotonic()
        for number in range(options.sessions):
            session = service.open(number, options.blocks)
            body = {"data_store": STORE, "session_id": session, "total_blocks": options.blocks}
            local.ask("POST", "/v1/sessions", body)
            sessions.append(session)
        print(f"{len(sessions)} sessions tracked after {time.monotonic() - began:.1f} s", flush=True)

        began, mark, lapses, said, worst = time.monotonic(), None, 0, 0, None
        print("minute   rss KiB   fds  threads  journal B  sessions  renewals  least lease s", flush=True)
        next_look, usages = began, []
        while time.monotonic() - began < options.minutes * 60:
            pause = 1 / options.progress_per_second if options.progress_per_second else 1
            time.sleep(min(pause, max(0.01, next_look - time.monotonic())))
            if options.progress_per_second:
                session = sessions[said % len(sessions)]
                said += 1
                done = {"total_blocks": options.blocks, "uploaded_blocks": said // len(sessions) + 1}
                local.ask("PUT", f"/v1/sessions/{session}/progress", done)
            usages.append((time.monotonic(), usage(agent.pid, state)))
            if time.monotonic() < next_look:
                continue
            next_look += options.look_every
            minute = (time.monotonic() - began) / 60
            figures = usage(agent.pid, state)
            picture = local.ask("GET", "/v1/status")["uploads"]
            least = min(view["lease_left"] or 0 for view in picture)
            worst = least if worst is None else min(worst, least)
            lapses += sum(view["sessions_lost"] for view in picture)
            alive = service.alive()
            renewals = sum(view["renewals"] for view in picture)
            rss, descriptors, threads, journal = figures
            print(f"{minute:6.1f} {rss:9} {descriptors:5} {threads:8} {journal:10} {alive:9} {renewals:9} {least:14.1f}", flush=True)
            if alive != options.sessions or len(picture) != options.sessions or lapses:
                print(f"FAILED: {options.sessions - alive} sessions lapsed at the service", flush=True)
                return 1
            if mark is None and minute >= options.from_minute:
                mark = most(usages)
        final = most(usages)
        verdict = 0
        for name, then, now in zip(("most rss KiB", "descriptors", "threads", "most journal"), mark, final):
            change = 100 * (now - then) / then
            good = change <= options.tolerance
            verdict |= not good
            print(f"{name:14} {then:9} at minute {options.from_minute:g}, {now:9} at the end: {change:+.1f} %{'' if good else '  FAILED'}")
        print(f"no lapse; the shortest lease seen had {worst:.1f} s left; {renewals} renewals, {said} reports of progress")
        agent.send_signal(signal.SIGTERM)
        code = agent.wait(60)
        print(f"the agent exited {code} after SIGTERM; {service.alive()} sessions are alive at the service")
        return int(verdict or code != 0)
    finally:
        for process in filter(None, (agent, service.process)):
            if process.poll() is None:
                process.kill()
                process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--ttl", default="10s")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--from-minute", type=float, default=5, help="the minute the end is compared with")
    parser.add_argument("--tolerance", type=float, default=5, help="in percent")
    parser.add_argument("--blocks", type=int, default=1_000_000, help="blocks of each upload")
    parser.add_argument("--progress-per-second", type=float, default=2, help="reports of progress over the socket")
    parser.add_argument("--look-every", type=float, default=15, help="seconds")
    parser.add_argument("--keep", help="copy the logs here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edm-soak-") as home:
        home = pathlib.Path(home)
        code = soak(options, home)
        if options.keep:
            shutil.copytree(home, options.keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("token", "*.sock"))
    sys.exit(code)


if __name__ == "__main__":
    main()
