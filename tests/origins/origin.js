// An origin by Node: its listening socket is its standard input; every answer tells what it saw.
const http = require('http');

const server = http.createServer((request, answer) => {
  let length = 0;
  request.on('data', (piece) => { length += piece.length; });
  request.on('end', () => {
    const { method, url, headers } = request;
    const id = headers['x-request-id'] || '';
    answer.setHeader('X-Seen', `${id} ${method} ${length} ${headers.host || ''} ${url}`);
    answer.end('node\n');
  });
});
server.keepAliveTimeout = 60000;
server.listen({ fd: 0 });
