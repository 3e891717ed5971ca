"""Fetches what is new with Python's poplib."""
import os
import poplib
import ssl

env = os.environ
host, port = env["POP_HOST"], int(env["POP_PORT"])
context = ssl.create_default_context(cafile=env["POP_AUTHORITY"])
poplib._MAXLINE = 1 << 20  # the usual way to read mail with long lines

if env["POP_TRANSPORT"] == "TLS":
    pop = poplib.POP3_SSL(host, port, context=context, timeout=30)
else:
    pop = poplib.POP3(host, port, timeout=30)
    if env["POP_TRANSPORT"] == "STLS":
        pop.stls(context=context)
pop.user(env["POP_USER"])
pop.pass_(env["POP_PASS"])

path = os.path.join(env["POP_STATE"], "ids")
seen = set(open(path).read().split()) if os.path.exists(path) else set()
count, total = pop.stat()
assert total == sum(int(row.split()[1]) for row in pop.list()[1])
rows = [row.decode("ascii").split() for row in pop.uidl()[1]]
assert len(rows) == count
for number, uid in rows:
    if uid not in seen:
        _, lines, _ = pop.retr(int(number))
        with open(os.path.join(env["POP_OUT"], number), "wb") as f:
            f.write(b"".join(line + b"\r\n" for line in lines))
    if env["POP_DELETE"]:
        pop.dele(int(number))
pop.quit()
with open(path, "w") as f:
    f.write("\n".join(uid for _, uid in rows))
