#!/usr/bin/python3
"""cloudflare.py PORT FILE: a stand-in of Cloudflare's API with the zone sample.com; keeps its records in FILE as JSON."""
import http.server
import json
import os
import sys
import time
import urllib.parse

WANTED = "/tmp/cloudflare.wanted"
port, path = int(sys.argv[1]), sys.argv[2]
records = {"other": {"id": "other", "type": "TXT", "name": "other._domainkey.sample.com", "content": "x", "ttl": 1}}


class Api(http.server.BaseHTTPRequestHandler):
    def answer(self, result, code=200):
        body = json.dumps({"success": code == 200, "result": result}).encode()
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)
        json.dump(sorted(records.values(), key=lambda one: one["id"]), open(path, "w"))

    def handle_one(self):
        # What a test expects of the next calls: codes, or 0 for an answer that never comes.
        if os.path.exists(WANTED) and (codes := open(WANTED).read().split()):
            open(WANTED, "w").write(" ".join(codes[1:]))
            if codes[0] == "0":
                time.sleep(30)
            if codes[0] != "200":
                return self.answer("a failure\nof two lines", int(codes[0]))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = url.path.strip("/").split("/")
        if self.headers["Authorization"] != "Bearer secret":
            return self.answer("Invalid API token", 403)
        if parts == ["zones"]:
            return self.answer([{"id": "z1"}] if query["name"] == "sample.com" else [])
        assert parts[:3] == ["zones", "z1", "dns_records"], parts
        if self.command == "GET":
            return self.answer([one for one in records.values() if all(one[key] == query[key] for key in query)])
        if self.command == "DELETE":
            return self.answer(records.pop(parts[3]))
        record = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        record["id"] = parts[3] if self.command == "PUT" else f"r{len(records)}"
        assert self.command == "POST" or record["id"] in records
        records[record["id"]] = record
        return self.answer(record)

    do_GET = do_POST = do_PUT = do_DELETE = handle_one

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Api).serve_forever()
