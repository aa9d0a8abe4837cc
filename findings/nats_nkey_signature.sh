#!/usr/bin/env bash
# Does a client that has the right nkey always prove it to its server?
#
# Versions:  Debian 12, libnats-dev 3.4.1-1+b1 (the C client of NATS), gcc 12, Python 3.11
# Guess:     yes: nats_Sign() signs what the server sends, and the signature goes back in CONNECT.
# Seen:      nats_Sign() is right for each nonce; but where the 64 bytes begin with a zero byte CONNECT has no "sig" at
#            all, as if the signature were an empty text. That is one nonce in 256, and the server refuses the client.
# For users: where a client with an nkey is refused it has to try again, with another nonce, before it believes it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download libnats-dev=3.4.1-1+b1 libnats3.4=3.4.1-1+b1 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=root/usr/lib/$(gcc -print-multiarch)

# client: signs so many nonces; client URL: connects there.
cat >client.c <<'C'
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Made for this script: the bytes 1, 8, 15, ... */
static const char *seed = "SUAACCAPCYOSIKZSHFAEOTSVLRRWU4LYP6DI3FE3UKU3BN56YXGNHWVCJA";

static natsStatus sign(char **told, unsigned char **signature, int *size, const char *nonce, void *closure)
{
	(void)told, (void)closure;
	return nats_Sign(seed, nonce, signature, size);
}

static int tell_signatures(int count)
{
	for (int i = 0; i < count; i++) {
		char nonce[32];
		unsigned char *signature;
		int size;

		snprintf(nonce, sizeof(nonce), "nonce%010d", i);
		if (nats_Sign(seed, nonce, &signature, &size) != NATS_OK)
			return 1;
		printf("%s ", nonce);
		for (int k = 0; k < size; k++)
			printf("%02x", signature[k]);
		puts("");
		free(signature);
	}
	return 0;
}

int main(int argc, char **argv)
{
	natsOptions *options;
	natsConnection *connection = NULL;

	nats_Open(-1);
	if (strncmp(argv[argc - 1], "nats:", 5))
		return tell_signatures(atoi(argv[argc - 1]));
	natsOptions_Create(&options);
	natsOptions_SetURL(options, argv[1]);
	natsOptions_SetNKey(options, "U", sign, NULL);
	return natsConnection_Connect(&connection, options) == NATS_OK ? 0 : 1;
}
C
gcc -I root/usr/include -o client client.c -L "$libraries" -lnats
export LD_LIBRARY_PATH=$work/$libraries

# A server that asks for a signature of the nonce it is given, and says what comes.
cat >ask.py <<'P'
import base64, json, socket, subprocess

lines = subprocess.run(["./client", "3000"], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
made = dict(line.split() for line in lines)
server = socket.create_server(("127.0.0.1", 0))


def sent_for(nonce):
    client = subprocess.Popen(["./client", f"nats://127.0.0.1:{server.getsockname()[1]}"])
    peer, _ = server.accept()
    info = {"server_id": "x", "version": "2.9.10", "max_payload": 1 << 20, "proto": 1, "auth_required": True,
            "nonce": nonce}
    peer.sendall(b"INFO " + json.dumps(info).encode() + b"\r\n")
    told = b""
    while b"PING" not in told:
        told += peer.recv(4096)
    peer.sendall(b"PONG\r\n")
    client.wait()
    text = json.loads(told.split(b"\r\n")[0].removeprefix(b"CONNECT ")).get("sig")
    return text and base64.urlsafe_b64decode(text + "==").hex()


zeros = [nonce for nonce, signature in made.items() if signature.startswith("00")]
others = [nonce for nonce in made if nonce not in zeros][:20]
print("of 3000 signatures", len(zeros), "begin with a zero byte")
print("of these, sent as made:", sum(sent_for(n) == made[n] for n in zeros), "not sent:",
      sum(sent_for(n) is None for n in zeros))
print("of 20 others, sent as made:", sum(sent_for(n) == made[n] for n in others))
P
python3 ask.py | tee seen.txt
cmp -s - seen.txt <<'T' || { echo "changed" >&2; exit 1; }
of 3000 signatures 13 begin with a zero byte
of these, sent as made: 0 not sent: 13
of 20 others, sent as made: 20
T
