package rcfile

import "strings"

// plain are the octets of a word that means the same with and without a shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@%+=:,-"

func isPlain(s string) bool { return strings.Trim(s, plain) == "" }

// quote makes s one word of a command, for a shell and for us.
func quote(s string) string {
	if s != "" && isPlain(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// join makes a command of its words.
func join(argv []string) string {
	quoted := make([]string, len(argv))
	for i, s := range argv {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, " ")
}

// mda makes a command of an mda of fetchmail, which a shell runs. %T and %s in
// it stand for the recipient, %F for the sender.
func (in *importer) mda(line int, mda, recipient string) string {
	var b strings.Builder
	for i := 0; i < len(mda); i++ {
		if mda[i] != '%' || i+1 == len(mda) {
			b.WriteByte(mda[i])
			continue
		}
		i++
		switch mda[i] {
		case 'T', 's':
			if recipient == "" {
				in.note(line, "mda: without a local name, %%%c stands for whoever runs fetchmail; write a name there", mda[i])
			}
			b.WriteString(quote(recipient))
		case 'F':
			in.note(line, "mda: the sender, %%F, is not known here; it is left empty")
			b.WriteString("''")
		default:
			b.WriteByte('%')
			b.WriteByte(mda[i])
		}
	}
	command := b.String()
	if strings.Trim(command, plain+" \t'") == "" {
		return command // quotes mean to us what they mean to a shell
	}
	in.note(line, "mda: a shell is run for it, as fetchmail does")
	return "/bin/sh -c " + quote(command)
}
