#!/usr/bin/python3
"""domains.py POLICY [DOMAIN...]: asks a compiled SELinux policy, with the project's module in it, which domains may send mail by
/usr/sbin/sendmail with Postfix, and which may read the keys of sendmail.dkim. Prints a row of a table for each DOMAIN. Fails if a domain
may send mail that sendmail.dkim could not sign, or if a domain that sends none may read keys and it is not one that reads (nearly)
all files of the system, or if a domain that signs may not start a process and use pipes to it.
"""
import collections
import sys

import setools

PROGRAM, KEY, POSTDROP, QUEUE = "sendmail_exec_t", "sendmail_dkim_key_t", "postfix_postdrop_exec_t", "postfix_spool_maildrop_t"
# What no domain may read that reads what it needs: those that may read all files, or all but those of security, may.
ANY = "postgresql_db_t"

# Tenants of OpenShift 2, in a domain for all that they do: keys of the host are not for them.
KNOWN = {"openshift_t"}

policy = setools.SELinuxPolicy(sys.argv[1])


# By kind and class. setools.TERuleQuery would go through all rules of the policy for each question.
rules = collections.defaultdict(list)
for one in policy.terules():
    if one.ruletype.name in ("allow", "type_transition"):
        rules[one.ruletype.name, str(one.tclass)].append(one)


def query(kind, cls, perm=None, target=None):
    """The rules that have this permission on this type, or on an attribute that it has."""
    known = target and policy.lookup_type(target)
    names = known and {known, *known.attributes()}
    for rule in rules[kind, cls]:
        if (not names or rule.target in names) and (not perm or perm in rule.perms):
            yield rule


def condition(rule):
    """The boolean that a rule needs, or None."""
    try:
        return f"{rule.conditional}" if rule.conditional_block else f"!{rule.conditional}"
    except setools.exception.RuleNotConditional:
        return None


def allowed(target, cls, perm):
    """By domain, the booleans that it needs for that; None among them where it needs none."""
    found = {}
    for rule in query("allow", cls, perm, target):
        for one in rule.source.expand():
            found.setdefault(str(one), set()).add(condition(rule))
    return found


def on_itself(cls, perm):
    """The domains that have this permission on their own type: for their own processes and pipes."""
    found = query("allow", cls, perm)
    return {str(one) for rule in found for one in set(rule.source.expand()) & set(rule.target.expand())}


def transitions(target):
    """By domain, the ones that the execution of the program leads to, each with the boolean that this needs, or None."""
    found = {}
    for rule in query("type_transition", "process", target=target):
        for one in rule.source.expand():
            found.setdefault(str(one), set()).add((str(rule.default), condition(rule)))
    return found


domains = {str(one) for one in policy.lookup_typeattr("domain").expand()}
executes, goes = allowed(PROGRAM, "file", "execute"), transitions(PROGRAM)
stays = allowed(PROGRAM, "file", "execute_no_trans")
entered = {to: allowed(to, "process", "transition") for to in {to for ways in goes.values() for to, _ in ways}}
to_postdrop = set(transitions(POSTDROP)) & set(allowed(POSTDROP, "file", "execute"))
own_postdrop = set(allowed(POSTDROP, "file", "execute_no_trans")) & set(allowed(QUEUE, "dir", "add_name"))
readers = set(allowed(KEY, "file", "read")) & set(allowed(KEY, "dir", "search"))


def without(needed):
    """One way out of some: without a boolean where there is one."""
    return None if None in needed else min(needed)


def ways(name):
    """In which domains /usr/sbin/sendmail of a domain runs, with the booleans that it needs."""
    found = set()
    for to, needed in goes.get(name, ()):
        if name in entered[to]:
            found.add((to, frozenset({needed, without(entered[to][name]), without(executes[name])} - {None})))
    # Where no boolean makes it go elsewhere.
    if name in stays and not any(needed is None for _, needed in goes.get(name, ())):
        found.add((name, frozenset({without(stays[name])} - {None})))
    # Postfix takes mail from some only.
    return {(to, needed) for to, needed in found if to in to_postdrop | own_postdrop}


sends = {name: found for name in domains & set(executes) if (found := ways(name))}
for name in sys.argv[2:]:
    if name not in domains:
        continue
    own = "yes" if name in readers else "no"
    if name not in sends:
        print(f"| `{name}` | no | | | {own} |")
    for to, needed in sorted(sends.get(name, ()), key=str):
        may = "with " + " and ".join(f"`{one}`" for one in sorted(needed)) if needed else "yes"
        print(f"| `{name}` | {may} | `{to}` | {'yes' if to in readers else 'no'} | {own} |")

ran_in = {to for found in sends.values() for to, _ in found} | {to for found in goes.values() for to, _ in found}
unsigned = sorted({name for name, found in sends.items() for to, _ in found if to not in readers} - KNOWN)
needless = sorted(readers - ran_in - set(allowed(ANY, "file", "read")))
print(f"{len(sends)} of {len(domains)} domains may send, {len(readers)} may read keys", file=sys.stderr)
if "httpd_t" not in sends or len(sends) < 50:
    sys.exit("that is no policy with Postfix and a web server")
if unsigned:
    print(f"may send, and not read keys: {' '.join(unsigned)}", file=sys.stderr)
if needless:
    print(f"may read keys, and need not: {' '.join(needless)}", file=sys.stderr)
signers = {str(one) for one in policy.lookup_typeattr("sendmail_dkim_signer").expand()}
failed = bool(unsigned or needless)
for right in [("process", "fork"), ("process", "sigchld"), ("fifo_file", "read"), ("fifo_file", "write")]:
    if lacking := sorted(signers - on_itself(*right)):
        failed = True
        print(f"may sign, and have no {' '.join(right)}: {' '.join(lacking)}", file=sys.stderr)
sys.exit(1 if failed else 0)
