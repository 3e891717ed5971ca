package pop3server

import (
	"context"

	"github.com/postwain/postwain/maildrop"
	"github.com/postwain/postwain/pop3"
)

// update is the UPDATE state (RFC 1939 §6). It answers QUIT when what was
// marked is gone for good, or says that it is not. The commit does not end with
// the client. The maildrop is free before the client can read the answer.
func (c *conn) update(ctx context.Context, box maildrop.Box, deleted []int) {
	r, why := accept(textBye), ReasonQuit
	if len(deleted) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opt.CommitTimeout)
		defer cancel()
		if err := box.Commit(ctx, deleted); err != nil {
			c.fault(err)
			c.note(ReasonCommit, err)
			r = refuse(pop3.CodeSysTemp, textNotRemoved)
		} else {
			c.sum.Deleted = len(deleted)
			c.sum.Left -= len(deleted)
		}
	}
	c.release()
	c.note(why, nil)
	c.write(r)
	if err := c.out.Flush(); err != nil {
		c.sum.Err = err
	}
}
