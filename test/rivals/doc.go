// Package rivals lists a Maildir while another program renames its messages as
// fast as it can, on each file system that Postwain is promised for.
package rivals
