#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Octavia's own envelope code, for test_message: Debian's python3-octavia.

heartbeat_octavia.py unwrap KEY FILE        prints the message in FILE as JSON
heartbeat_octavia.py wrap KEY FILE OUTPUT   writes the JSON in FILE as a message

Exit status 77: Octavia is not installed.
"""

import json
import sys

try:
    from octavia.amphorae.backends.health_daemon import status_message
except ImportError as missing:
    print(missing)
    sys.exit(77)


def main(verb, key, path, output=None):
    with open(path, "rb") as file:
        data = file.read()
    if verb == "unwrap":
        message = status_message.unwrap_envelope(data, key)
        print(json.dumps(message, sort_keys=True))
    else:
        envelope = status_message.wrap_envelope(json.loads(data), key)
        with open(output, "wb") as file:
            file.write(envelope)


main(*sys.argv[1:])
