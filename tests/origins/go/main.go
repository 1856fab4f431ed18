// An origin by Go's net/http: its listening socket is its standard input; every answer tells what
// it saw.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func answer(response http.ResponseWriter, request *http.Request) {
	length, err := io.Copy(io.Discard, request.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	id := request.Header.Get("X-Request-Id")
	seen := fmt.Sprintf("%s %s %d %s %s", id, request.Method, length, request.Host, request.RequestURI)
	response.Header().Set("X-Seen", seen)
	fmt.Fprintln(response, "go")
}

func main() {
	listener, err := net.FileListener(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, http.HandlerFunc(answer)))
}
