package maildir

// name gives every item its UID. Those that the uids file names have it from
// there; the others are named by their unique name, or by a hash if that cannot
// be a UID or another message has it. Who has a name first keeps it: known
// messages come before new ones. What was decided between two messages is
// written down before anybody sees it, so that it stays when one of them goes.
func (b *builder) name() error {
	taken := make(map[string]int, len(b.items))
	var recs []uidRec
	give := func(i int, uid string) bool {
		if _, ok := taken[uid]; ok {
			return false
		}
		taken[uid] = i
		b.items[i].uid = uid
		return true
	}
	for _, step := range []struct{ known, placed bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		for i := range b.items {
			m := &b.items[i]
			if (m.rank >= 0) != step.known || (m.place >= 0) != step.placed {
				continue
			}
			if step.placed && give(i, b.uids.recs[m.place].uid) {
				continue
			}
			natural := natural(m.base())
			if _, ok := b.uids.record(natural); !ok && give(i, natural) {
				continue
			}
			recs = append(recs, b.rename(i, natural, taken, give)...)
		}
	}
	return b.addUIDs(b.drop, b.home, recs)
}

// natural is the UID of a message that has nothing in its way.
func natural(base string) string {
	if unique := base[:uniqueLen(base)]; validUID(unique) {
		return unique
	}
	return hashUID(base[:uniqueLen(base)])
}

// rename gives item i another UID, since natural is taken, and returns what is
// to be written down: its new UID, and the claim of the message that has it.
func (b *builder) rename(i int, natural string, taken map[string]int, give func(int, string) bool) (recs []uidRec) {
	m := &b.items[i]
	if other, ok := taken[natural]; ok && b.items[other].place < 0 {
		recs = append(recs, b.items[other].record())
	}
	uid := hashUID(m.base())
	if m.inode != 0 {
		uid = hashUID(inodeName(m.base(), m.inode))
	}
	for n := 2; ; n++ {
		if _, ok := b.uids.record(uid); !ok && give(i, uid) {
			break
		}
		uid = hashUID(uid)
	}
	return append(recs, m.record())
}

// record is what says, for ever, that m has its UID.
func (m *item) record() uidRec {
	if m.inode != 0 {
		return uidRec{kindInode, m.uid, inodeName(m.base(), m.inode)}
	}
	return uidRec{kindBase, m.uid, m.base()}
}
