// Package differential holds servers against an executable reading of the RFCs
// ([session]) on the same mail and the same made-up commands: ours, which has to
// agree in everything, and Debian's, whose differences are written down in
// differences.txt, each with the clause that decides. It also holds ours against
// itself: pipelined or not, in any pieces, in clear and in TLS, in any store, the
// same is said.
package differential
