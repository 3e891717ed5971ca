"""Signs in with Python's poplib and prints the first message."""
import os
import poplib
import ssl
import sys

env = os.environ
context = ssl.create_default_context(cafile=env["POP_AUTHORITY"])
pop = poplib.POP3_SSL(env["POP_HOST"], int(env["POP_PORT"]), context=context, timeout=30)
if env["POP_WAY"] == "APOP":
    pop.apop(env["POP_USER"], env["POP_PASS"])
else:
    pop.user(env["POP_USER"])
    pop.pass_(env["POP_PASS"])
sys.stdout.buffer.write(b"".join(line + b"\r\n" for line in pop.retr(1)[1]))
pop.quit()
