#!/usr/bin/env bash
# How OpenAI's own packages end a streamed answer that a server could not finish.
#
# Packages: openai 3.57.0 (PyPI), openai 7.59.0 (npm).
# Guess:    an answer that stops without finish_reason and without [DONE] is an error, and an event named
#           "error" is one in both.
# Seen:     - The answer that stops ends the loop as if it were whole, in both packages.
#           - `event: error` with {"message":…} raises in JavaScript. In Python it is one more chunk, whose
#             choices are None, and the loop ends as if the answer were whole.
#           - `data: {"error":{"message":…}}` raises in both.
# So:       a server that has to give up in mid answer must say so as {"error":…} in a data line. Otherwise
#           programs keep half an answer and do not know it.
#
# Fails if a package behaves otherwise. Needs bash, python3 with venv, node and npm.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install openai==3.57.0
npm install --silent --no-audit --no-fund --prefix . openai@7.59.0 >/dev/null

cat > server.mjs <<'JS'
import http from 'node:http';
const delta = { id: '1', object: 'chat.completion.chunk', created: 1, model: 'm',
  choices: [{ index: 0, delta: { content: 'half' }, finish_reason: null }] };
const half = `data: ${JSON.stringify(delta)}\n\n`;
const ends = { stops: '', event: 'event: error\ndata: {"message":"gave up"}\n\n',
  data: 'data: {"error":{"message":"gave up"}}\n\n' };
const server = http.createServer((request, response) => {
  const end = ends[request.url.split('/')[1]];
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(half + end);
  });
}).listen(0, '127.0.0.1', () => console.log(server.address().port));
JS

cat > ask.mjs <<'JS'
import OpenAI from 'openai';
for (const end of ['stops', 'event', 'data']) {
  const client = new OpenAI({ baseURL: `http://127.0.0.1:${process.argv[2]}/${end}`, apiKey: 'k', maxRetries: 0 });
  let said = '', how = 'ended';
  try {
    const stream = await client.chat.completions.create({ model: 'm', stream: true, messages: [{ role: 'user', content: '?' }] });
    for await (const chunk of stream) said += chunk.choices?.[0]?.delta?.content ?? '';
  } catch (error) { how = `raised ${error.constructor.name}`; }
  console.log(`npm ${end}: ${said}, ${how}`);
}
JS

cat > ask.py <<'PY'
import sys
import openai
for end in ["stops", "event", "data"]:
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{sys.argv[1]}/{end}", api_key="k", max_retries=0)
    said, how = "", "ended"
    try:
        for chunk in client.chat.completions.create(model="m", stream=True, messages=[{"role": "user", "content": "?"}]):
            said += chunk.choices[0].delta.content if chunk.choices else ""
    except openai.OpenAIError as error:
        how = f"raised {type(error).__name__}"
    print(f"PyPI {end}: {said}, {how}")
PY

node server.mjs > port &
server=$!
trap 'kill "$server"; rm -rf "$folder"' EXIT
until [ -s port ]; do sleep 0.1; done
{ venv/bin/python ask.py "$(cat port)"; node ask.mjs "$(cat port)"; } | tee seen

diff seen - <<'SEEN'
PyPI stops: half, ended
PyPI event: half, ended
PyPI data: half, raised APIError
npm stops: half, ended
npm event: half, raised APIError
npm data: half, raised APIError
SEEN
echo "as described"
