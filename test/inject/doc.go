// Package inject ends a server that works: with SIGKILL at any moment, with
// SIGTERM and reloads in the middle, while mail comes in by LMTP and is fetched
// and removed by POP3. What was promised to those clients has to be true of the
// server that is started next.
package inject
