// Package inject hurts a server that works, while mail comes in by LMTP and is
// fetched and removed by POP3: with SIGKILL at any moment, with SIGTERM and
// reloads in the middle, by taking its memory away, and by calls of the system
// that fail. What was promised to those clients has to be true of the
// server then, or of the one that is started next.
package inject
