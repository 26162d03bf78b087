#!/usr/bin/python3
"""aws: a stand-in of the AWS command line for Route 53, with a public and a private zone sample.com; its records are in /tmp/aws.json."""
import json
import os
import sys

STATE = "/tmp/aws.json"
words = sys.argv[1:]
assert words[:3] == ["route53", "--output", "json"], words
if os.path.exists("/tmp/aws.fails"):
    sys.exit(open("/tmp/aws.fails").read())
command, options = words[3], dict(zip(words[4::2], words[5::2]))
records = json.load(open(STATE)) if os.path.exists(STATE) else []
if command == "list-hosted-zones-by-name":
    # All zones from that name on, in the order of their names.
    zones = [{"Name": "sample.com.", "Id": "/hostedzone/P", "Config": {"PrivateZone": True}},
             {"Name": "sample.com.", "Id": "/hostedzone/Z", "Config": {"PrivateZone": False}},
             {"Name": "zzz.com.", "Id": "/hostedzone/Y", "Config": {"PrivateZone": False}}]
    print(json.dumps({"HostedZones": zones}))
elif command == "list-resource-record-sets":
    assert options["--hosted-zone-id"] == "/hostedzone/Z", options
    print(json.dumps({"ResourceRecordSets": [one for one in records if one["Name"] >= options["--start-record-name"]][:1]}))
elif command == "change-resource-record-sets":
    assert options["--hosted-zone-id"] == "/hostedzone/Z", options
    for change in json.loads(options["--change-batch"])["Changes"]:
        record = change["ResourceRecordSet"]
        if change["Action"] == "DELETE":
            if record not in records:
                sys.exit("InvalidChangeBatch: values provided do not match")
            records.remove(record)
        else:
            records = [one for one in records if one["Name"] != record["Name"]] + [record]
    json.dump(sorted(records, key=lambda one: one["Name"]), open(STATE, "w"))
    print("{}")
else:
    sys.exit(f"unknown command {command}")
