#!/usr/bin/python3
"""survive.py FOLDER SIGNER...: inside the sandbox, the whole of tests/survive/run: submits, waits, verifies, compares, tells.

A signer is `wrapper`, `wrapper-t` (with -t -i), `wrapper-crlf` (lines end in CRLF), `wrapper-smtp` (by SMTP, as Postfix's
content filter), `opendkim` (the milter) or `plain` (dkimpy before Postfix, nothing else changed). Every one signs with the same
key; SETTINGS in the environment, words name=value, go to postconf -e. With JUDGES in the environment judges of spam compare
what the first signer delivers with what Postfix by itself delivers; all verdicts go to judged.json.
"""
import collections
import glob
import json
import os
import re
import smtplib
import subprocess
import sys
import time

import dkim

sys.path.insert(0, "/opt/sandbox")
from content import content  # noqa: E402

COLUMNS = {"8bit": "sink.test", "7bit": "7bit.test"}
SIGNERS = sys.argv[2:] or ["wrapper"]
KEY = "/etc/sendmail-dkim/keys/default/survive.private"
VERIFIERS = ["dkimpy.py", "maildkim.pl", "opendkim.py"]
ETC = "/etc/sendmail-dkim"


def set_up():
    """One key for every domain, and DNS that knows it everywhere."""
    subprocess.run(["pkill", "nsd"], check=False)
    subprocess.run(["dkimctl", "genkey", "-d", "default.test", "-s", "survive"], check=True, stdout=subprocess.DEVNULL)
    os.rename(f"{ETC}/keys/default.test", f"{ETC}/keys/default")
    text = open(f"{ETC}/keys/default/survive.txt").read()
    record = "".join(re.findall(r'"([^"]*)"', text))
    with open(f"{ETC}/domains/default.toml", "w") as file:
        file.write('selectors = ["survive"]\nsign_forwarded = true\nsmtp = true\n')
    time.sleep(0.5)
    subprocess.Popen([sys.executable, "/survive/keys.py", record], stdin=subprocess.DEVNULL)
    time.sleep(0.5)
    # A connection that is kept open is not asked whether it has SMTPUTF8: what is delivered would hang on chance.
    settings = ["smtp_connection_cache_on_demand=no", "milter_default_action=accept", *os.environ.get("SETTINGS", "").split()]
    subprocess.run(["postconf", "-e", *settings], check=True)
    set_up_filter()
    subprocess.run(["postfix", "reload"], check=True, stderr=subprocess.DEVNULL)


# Of an smtpd(8) that hands all mail to the filter, and of one that hands it none.
PORTS = {"wrapper-smtp": 10025, "unsigned-smtp": 10026}


def set_up_filter():
    """As `dkimctl setup --smtp` does, on ports of its own."""
    subprocess.run(["useradd", "--system", "--no-create-home", "--gid", "nogroup", "--shell", "/usr/sbin/nologin",
                    "sendmail-dkim"], check=True)
    with open(f"{ETC}/config.toml", "a") as file:
        file.write('filter_user = "sendmail-dkim"\n')
    argv = ("/usr/sbin/sendmail.dkim -G -i -O DkimLogin=${sasl_username} -O DkimClient=${client_address} "
            "-f ${sender} -- ${recipient}")
    for line in [f"dkim/unix=dkim unix - n n - 10 pipe flags=Rq user=sendmail-dkim null_sender= argv={argv}",
                 "10025/inet=10025 inet n - n - - smtpd -o content_filter=dkim:dummy",
                 "10026/inet=10026 inet n - n - - smtpd"]:
        subprocess.run(["postconf", "-M", line], check=True)


def start_opendkim():
    """As a milter for what sendmail(1) submits, signing for every domain with the one key."""
    folder = "/survive/opendkim"
    os.makedirs(folder)
    subprocess.run(["cp", KEY, f"{folder}/key"], check=True)
    subprocess.run(["chown", "-R", "opendkim:opendkim", folder], check=True)
    os.chmod(f"{folder}/key", 0o600)
    with open(f"{folder}/KeyTable", "w") as file:
        file.write(f"survive %:survive:{folder}/key\n")
    with open(f"{folder}/SigningTable", "w") as file:
        file.write("* survive\n")
    with open(f"{folder}/conf", "w") as file:
        file.write(f"KeyTable {folder}/KeyTable\nSigningTable refile:{folder}/SigningTable\nMode s\nUserID opendkim\n"
                   "Socket inet:8891@127.0.0.1\nCanonicalization relaxed/relaxed\nOversignHeaders From\n"
                   "SyslogSuccess yes\nLogWhy yes\nSyslog yes\nRequireSafeKeys no\n"
                   # It dies of some messages; what comes until it is there again goes out unsigned.
                   "AutoRestart yes\nAutoRestartCount 0\nAutoRestartRate 1000/1s\n")
    subprocess.run(["opendkim", "-x", f"{folder}/conf"], check=True)
    time.sleep(1)


def dkimpy_signed(data, key):
    """The message with a signature on top, in the lines that it has."""
    message = re.sub(rb"\r?\n", b"\r\n", data)
    header = re.split(rb"\r?\n\r?\n", data)[0]
    domain = re.search(rb"(?im)^From[ \t]*:(?:[^\n]|\n[ \t])*@([A-Za-z0-9.-]+)", header)
    if not domain:
        return data
    names = [name for name in (b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Reply-To", b"MIME-Version",
                               b"Content-Type", b"Content-Transfer-Encoding", b"References", b"In-Reply-To")
             if re.search(rb"(?im)^" + name + rb"[ \t]*:", data.split(b"\n\n")[0])]
    try:
        field = dkim.sign(message, b"survive", domain.group(1).lower(), key, canonicalize=(b"relaxed", b"relaxed"),
                          include_headers=names)
    except Exception:
        return data
    return field.replace(b"\r\n", b"\n") + data


def command(signer, recipient):
    program = "/usr/sbin/sendmail" if signer.startswith("wrapper") else "/usr/sbin/sendmail.postfix"
    return [program, "-i", *(["-t"] if signer.endswith("-t") else []), "-f", "sender@origin.example", recipient]


def submit_by_smtp(data, signer, recipient):
    """The exit code and the words of a client that submits a message as it is."""
    text = re.sub(rb"\r*\n", b"\r\n", data)
    text = re.sub(rb"(?m)^\.", b"..", text) + (b"" if text.endswith(b"\n") else b"\r\n") + b".\r\n"
    with smtplib.SMTP("127.0.0.1", PORTS[signer], "client.test") as server:
        server.ehlo()
        for line in ["MAIL FROM:<sender@origin.example> BODY=8BITMIME", f"RCPT TO:<{recipient}>", "DATA"]:
            server.putcmd(line)
            code, words = server.getreply()
            if code >= 400:
                return 1, words
        server.send(text)
        code, words = server.getreply()
        return int(code != 250), words


def lines_since(size, is_filtered):
    """What the wrapper has logged; the filter runs after the client was answered."""
    for _ in range(200 if is_filtered else 1):
        with open("/out/syslog") as log:
            log.seek(size)
            lines = [line for line in log if "sendmail-dkim[" in line]
        if lines:
            break
        time.sleep(0.05 * is_filtered)
    return "".join(lines)


def submit(files, signer):
    """Each message to each column; whether it was signed, or why not."""
    said = {}
    key = open(KEY, "rb").read()
    for number, path in enumerate(files):
        with open(path, "rb") as file:
            data = file.read()
        if signer == "wrapper-crlf":
            data = re.sub(rb"\r*\n", b"\r\n", data)
        if signer == "plain":
            data = dkimpy_signed(data, key)
        for column, domain in COLUMNS.items():
            size = os.path.getsize("/out/syslog") if os.path.exists("/out/syslog") else 0
            recipient = f"{signer}.{number}@{domain}"
            if signer in PORTS:
                code, words = submit_by_smtp(data, signer, recipient)
            else:
                done = subprocess.run(command(signer, recipient), input=data, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, check=False)
                code, words = done.returncode, done.stdout
            lines = lines_since(size, signer == "wrapper-smtp" and code == 0)
            said[number, column] = (code, words.decode("utf-8", "replace"), lines)
    return said


def wait():
    """Until all queues were empty for a second: a message is in none of them for a moment."""
    quiet = 0
    for _ in range(1200):
        queues = ["maildrop", "incoming", "active"]
        busy = any(files for queue in queues for _, _, files in os.walk(f"/var/spool/postfix/{queue}"))
        quiet = 0 if busy else quiet + 1
        if quiet == 10:
            return
        time.sleep(0.1)


def received(signer, number, column):
    shelf = f"/out/rcpt/{signer}.{number}@{COLUMNS[column]}"
    names = os.listdir(shelf) if os.path.isdir(shelf) else []
    return [f"/out/sink/{name[:-5]}.eml" for name in names]


def verify(paths):
    results = collections.defaultdict(dict)
    for verifier in VERIFIERS:
        for at in range(0, len(paths), 200):
            out = subprocess.run([f"/opt/sandbox/verify-{verifier}", *paths[at:at + 200]], stdout=subprocess.PIPE, check=False)
            for line in out.stdout.splitlines():
                verdict = json.loads(line)
                own = [one for one in verdict["signatures"] if one["s"] == "survive"]
                passed = bool(own) and all(one["result"] == "pass" for one in own)
                results[verdict["file"]][verifier] = "pass" if passed else json.dumps(own) + verdict.get("detail", "")
    return results


def differences(before, after):
    """What the second message says otherwise than the first; fields that were added are no difference."""
    (header, parts), (header_after, parts_after) = content(before), content(after)
    differ = [(name, values, header_after[name]) for name, values in header.items() if values and values != header_after[name]]
    for one, other in zip(parts, parts_after):
        # Python has "?" for each byte of a raw file name that is not ASCII.
        if isinstance(one, tuple) and isinstance(other, tuple) and b"?" in (one[1] or b""):
            one, other = (one[0], one[2]), (other[0], other[2])
        if one != other:
            differ.append((one, other))
    if len(parts) != len(parts_after):
        differ.append((len(parts), "parts", len(parts_after)))
    return differ


def tell(rows, first):
    names = ["submitted", "delivered", "eligible", "signed", *VERIFIERS, "equal"]
    print(f"{first:28} {'hop':5}" + "".join(f"{name:>12}" for name in names))
    for (name, column), row in sorted(rows.items()):
        print(f"{name:28} {column:5}" + "".join(f"{row[name]:12}" for name in names))
    print()


def plain_style(signer):
    """How Postfix alone is given the messages, to compare with a signer."""
    return {"wrapper-t": "unsigned-t", "wrapper-smtp": "unsigned-smtp"}.get(signer, "unsigned")


class Run:
    """All signers over the same files."""

    def __init__(self, files):
        self.files = files
        self.reasons, self.misses, self.plain = collections.Counter(), [], {}
        # Numbers of messages with one author domain, by sendmail(1) and by SMTP, which adds no From; of those with a part that is
        # signed by another program and may be changed.
        self.eligible, self.risky = {False: set(), True: set()}, set()
        self.risky_verified = collections.Counter()

    def send(self, signer):
        """What the program said, and what arrived."""
        said = submit(self.files, signer)
        wait()
        return said, {key: received(signer, *key) for key in said}

    def sort(self, said, is_smtp, is_first):
        """Takes what may be expected of each message from the wrapper's own words."""
        for (number, _), (code, words, log) in said.items():
            reason = re.search(r'reason="((?:[^"\\]|\\.)*)"', log)
            why = reason.group(1) if reason else f"exit {code}: {words}"
            if "result=signed" in log:
                (self.risky if reason else self.eligible[is_smtp]).add(number)
            if "result=signed" in log and not reason:
                continue
            if is_first:
                self.reasons[why] += 1
            elif number in self.eligible[False]:
                self.reasons[f"by SMTP alone: {why}"] += 1

    def baseline(self, signer, number, column):
        """What Postfix by itself delivers of a message that is submitted in the same way."""
        return self.plain[plain_style(signer)][number, column]

    def judge(self, signer, places, verdicts):
        """Counts what one signer did. A message is eligible where the wrapper found one author domain and Postfix by itself
        delivers it. It says what it said if it says what was submitted, or what Postfix by itself makes of that."""
        rows = collections.defaultdict(collections.Counter)
        for (number, column), delivered in places.items():
            path = self.files[number]
            folder = os.path.relpath(os.path.dirname(path), sys.argv[1])
            is_eligible = number in self.eligible[signer in PORTS] and bool(self.baseline(signer, number, column))
            result = verdicts.get(delivered[0], {}) if delivered else {}
            is_signed, differ = False, []
            if is_eligible and delivered:
                with open(delivered[0], "rb") as after:
                    data = after.read()
                is_signed = b"s=survive;" in data.split(b"\r\n\r\n")[0]
                for before in [path, *self.baseline(signer, number, "8bit")]:
                    with open(before, "rb") as file:
                        differ = differences(file.read(), data)
                    if not differ:
                        break
            for row in [rows[folder, column], rows["(all)", column]]:
                row["submitted"] += 1
                row["delivered"] += bool(delivered)
                row["eligible"] += is_eligible
                row["signed"] += is_signed
                row["equal"] += is_eligible and bool(delivered) and not differ
                for verifier in VERIFIERS:
                    row[verifier] += bool(is_eligible and result.get(verifier) == "pass")
            if number in self.risky and delivered and signer == SIGNERS[0]:
                self.risky_verified[column] += all(result.get(verifier) == "pass" for verifier in VERIFIERS)
            if is_eligible and signer.startswith("wrapper"):
                self.note_misses(signer, path, column, delivered, result, differ)
        return rows

    def note_misses(self, signer, path, column, delivered, result, differ):
        about = {"signer": signer, "file": path, "column": column, "received": delivered[:1]}
        bad = {name: result.get(name) for name in VERIFIERS if result.get(name) != "pass"}
        if not delivered:
            self.misses.append({**about, "miss": "not delivered"})
        elif bad:
            self.misses.append({**about, "miss": "verify", "by": bad})
        if differ:
            self.misses.append({**about, "miss": "decoded", "differs": [repr(one)[:600] for one in differ[:3]]})

    def ask_judges(self, signer, places):
        """Scores each message as the signer delivers it, and as Postfix by itself does; a worse score is a miss."""
        import judge
        judge.start_rspamd()
        pairs = {}
        for key, delivered in places.items():
            if key[0] in self.eligible[signer in PORTS] and delivered and self.baseline(signer, *key):
                pairs[key] = (self.baseline(signer, *key)[0], delivered[0])
        verdicts = judge.judged([path for pair in pairs.values() for path in pair])
        judged, count = [], collections.Counter()
        for (number, column), (without, signed) in pairs.items():
            for name in judge.JUDGES:
                before, after = verdicts[without][name], verdicts[signed][name]
                change = judge.change(before, after)
                judged.append({"file": self.files[number], "column": column, "judge": name, "without": before, "signed": after})
                count[name, column, "worse" if change > 0 else "better" if change < 0 else "equal"] += 1
                if change > 0:
                    points = [before.get(rule, 0) for rule in after]
                    worse = {rule: after[rule] - was for rule, was in zip(after, points) if after[rule] > was}
                    self.misses.append({"signer": signer, "file": self.files[number], "column": column, "miss": f"{name} {change:+.1f}",
                                        "received": [without, signed], "by": worse})
        for (name, column, what), number in sorted(count.items()):
            print(f"{number:6}  scored {what} by {name} ({column})")
        print()
        with open("/survive/judged.json", "w") as file:
            json.dump(judged, file, indent=1)

    def tell_rest(self):
        print("not eligible, both columns:")
        for reason, count in self.reasons.most_common():
            print(f"{count:6}  {reason}")
        for style, places in self.plain.items():
            for column in COLUMNS:
                eligible = self.eligible[style in PORTS]
                count = sum(number in eligible and not delivered for (number, at), delivered in places.items() if at == column)
                print(f"{count:6}  not delivered by Postfix alone either ({style}, {column})")
        print(f"\nsigned as they are, with a part that may be changed: {len(self.risky)}; verified by all three: "
              + ", ".join(f"{column} {self.risky_verified[column]}" for column in COLUMNS))
        print(f"misses: {len(self.misses)}")
        for miss in self.misses[:60]:
            print(json.dumps(miss)[:400])


def main():
    run = Run(sorted(path for path in glob.glob(sys.argv[1] + "/**", recursive=True) if os.path.isfile(path)))
    set_up()
    for style in sorted({"unsigned", *map(plain_style, SIGNERS)}):
        _, run.plain[style] = run.send(style)
    total = {}
    for signer in SIGNERS:
        if signer == "opendkim":
            start_opendkim()
        milter = "inet:127.0.0.1:8891" if signer == "opendkim" else ""
        subprocess.run(["postconf", "-e", f"non_smtpd_milters={milter}"], check=True)
        subprocess.run(["postfix", "reload"], check=True, stderr=subprocess.DEVNULL)
        time.sleep(1)
        said, places = run.send(signer)
        is_smtp = signer in PORTS
        if signer == SIGNERS[0] or is_smtp:
            run.sort(said, is_smtp, signer == SIGNERS[0])
        rows = run.judge(signer, places, verify([path for paths in places.values() for path in paths[:1]]))
        if signer == SIGNERS[0]:
            tell(rows, "folder")
            if os.environ.get("JUDGES"):
                run.ask_judges(signer, places)
        for column in COLUMNS:
            total[signer, column] = rows["(all)", column]
    tell(total, "signer")
    run.tell_rest()
    with open("/survive/misses.json", "w") as file:
        json.dump(run.misses, file, indent=1)
    return 1 if run.misses else 0


sys.exit(main())
