"""Critical laboratory results: an alert for each, everything into a topic, an answer to the sender.

healthsync client create lab --role system --data ./hub        makes the key
export HEALTHSYNC_API_KEY=…
healthsync serve --data ./hub --app lab_results:hs             inside the hub, started in this directory
python lab_results.py                                          or beside it
"""

import os
from datetime import datetime

from healthsync import HealthSync, HL7Message, HL7Parser

hs = HealthSync(api_key=os.environ["HEALTHSYNC_API_KEY"])

CRITICAL = ["HH", "LL", "AA"]


@hs.on_hl7("ORU^R01")
def process_lab_result(message: HL7Message) -> object:
    """Called for every result, once the hub has processed it."""
    parser = HL7Parser(message)
    results = [
        {
            "test_code": obx[3][0][0],
            "test_name": obx[3][0][1],
            "value": obx[5],
            "units": obx[6],
            "reference_range": obx[7],
            "abnormal_flag": obx[8],
        }
        for obx in parser.segments("OBX")
    ]
    for result in results:
        if result["abnormal_flag"] in CRITICAL:
            hs.alerts.send(
                type="critical_lab",
                patient_mrn=parser.get("PID.3"),
                result=result,
                recipients=["ordering_physician", "lab_director"],
            )
    hs.publish("lab_results", {"patient_mrn": parser.get("PID.3"), "results": results, "received_at": datetime.now()})
    return hs.hl7.ack(message, "AA")


if __name__ == "__main__":
    hs.run()
