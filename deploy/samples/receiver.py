# A webhook to try things with: it takes what Backflow sends, and writes a line for each record into received.txt.
import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    def do_OPTIONS(self):
        self.answer()

    def do_POST(self):
        records = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open("received.txt", "a") as received:
            for record in records:
                print(record["op"], record["id"], json.dumps(record["data"], sort_keys=True), file=received)
        self.answer()

    def answer(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 8087), Receiver)
print("listening", flush=True)
server.serve_forever()
