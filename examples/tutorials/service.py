"""You can only ask a service: predictions by vote with few requests, and how sure they are.

The service of this example runs on this machine, and answers with a label for each input. docs/black-box.md
certifies one from the command line.

python examples/tutorials/service.py (about 5 seconds)
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

import sfumato as sf

data = sf.load_dataset("digits")
hidden = KNeighborsClassifier(5).fit(data.train.x.reshape(len(data.train), -1), data.train.y)
asked = []


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        batch = np.array(json.loads(body)["instances"])
        asked.append(len(batch))
        labels = hidden.predict(batch.reshape(len(batch), -1)).tolist()
        answer = json.dumps({"predictions": labels}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=server.serve_forever, daemon=True).start()

remote = sf.from_endpoint(f"http://127.0.0.1:{server.server_port}", classes=10, batch_size=256)
smoothed = sf.SmoothedClassifier(remote, beta=0.2)
# each image gets as many votes as its answer needs, at most 2,000
certificates = smoothed.certify(data.test.x[:10], plan="decide(0.15,n_max=2000)", labels=data.test.y[:10])
certificates.to_tsv("service.tsv")
print(f"{sum(asked):,} inputs in {len(asked)} requests")
server.shutdown()
print("certified accuracy,", certificates.accuracy([0.15]))
