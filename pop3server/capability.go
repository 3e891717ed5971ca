package pop3server

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/postwain/postwain/pop3"
)

const day = 24 * time.Hour

// capabilities is what CAPA says now (RFC 2449 §5 and §6). Commands are
// announced by asking the functions that dispatch them.
func (c *conn) capabilities(list pop3.Capabilities) pop3.Capabilities {
	add := func(when bool, name, args string) {
		if when {
			list = append(list, pop3.Capability{Name: name, Args: args})
		}
	}
	add(transactionHandler(pop3.Top) != nil, pop3.CapTop, "")
	add(transactionHandler(pop3.Uidl) != nil, pop3.CapUIDL, "")
	add(true, pop3.CapRespCodes, "")
	add(true, pop3.CapAuthRespCode, "")
	add(true, pop3.CapPipelining, "")
	mechanisms := c.offered()
	add(c.find("PLAIN") != nil, pop3.CapUser, "")
	add(len(mechanisms) > 0, pop3.CapSASL, strings.Join(mechanisms, " "))
	add(c.canSTLS(), pop3.CapSTLS, "")
	delay, announced := c.loginDelay()
	add(announced, pop3.CapLoginDelay, delay)
	add(true, pop3.CapExpire, c.expire())
	add(authorizationHandler(pop3.Utf8) != nil, pop3.CapUTF8, "USER")
	add(authorizationHandler(pop3.Lang) != nil, pop3.CapLang, "")
	add(c.opt.Implementation != "", pop3.CapImplementation, c.opt.Implementation)
	return list
}

// loginDelay is announced where a delay may hold. After login it is the
// account's own, without USER (RFC 2449 §6.5).
func (c *conn) loginDelay() (args string, announced bool) {
	args = strconv.FormatInt(int64((c.policy.LoginDelay+time.Second-1)/time.Second), 10)
	if c.seat != nil {
		return args, c.announcesDelay || c.policy.LoginDelay > 0
	}
	if c.policy.LoginDelayPerUser {
		args += " USER"
	}
	return args, c.policy.LoginDelay > 0 || c.policy.LoginDelayPerUser
}

// expire is the account's own value after login, without USER (RFC 2449 §6.7).
func (c *conn) expire() string {
	args := "NEVER"
	if c.policy.Expire > 0 {
		args = strconv.FormatInt(int64(c.policy.Expire/day), 10)
	}
	if c.seat == nil && c.policy.ExpirePerUser {
		args += " USER"
	}
	return args
}

func (c *conn) capaCommand(_ context.Context, arg []byte) reply {
	if len(arg) > 0 {
		return refuse("", textArgument)
	}
	var room [13]pop3.Capability
	c.out.OK().Text(c.say(textCapabilities)).End()
	for _, capability := range c.capabilities(room[:0]) {
		c.out.Line(capability.Name).Text(capability.Args).End()
	}
	c.out.Dot()
	return reply{}
}
