package storm

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/postwain/postwain/test/campaign"
)

// targets are the fuzz targets of what comes from a wire or a disk, by package.
const targets = `
pop3 FuzzParseCommand FuzzParseReply FuzzParseURL FuzzWriterLine
pop3server FuzzServer
pop3client FuzzSession FuzzListing FuzzBody
sasl FuzzServer FuzzXOAUTH2 FuzzOAUTHBEARER FuzzExternal FuzzAPOP FuzzCRAMMD5 FuzzCRAMMD5Server FuzzSCRAM FuzzSCRAMServer FuzzBearerServer FuzzPrepare
maildrop FuzzOctets
internal/dot FuzzRoundTrip FuzzReader
internal/lmtp FuzzSession FuzzNames
internal/listen FuzzHeader
internal/kpop FuzzAccept FuzzConnect
internal/krb FuzzAccept FuzzSealed FuzzKeytab FuzzCache
internal/auth/kerberos FuzzServer FuzzUnwrap
internal/auth/oauth FuzzAnswer FuzzToken FuzzKeys
internal/auth/ldap FuzzAnswer FuzzStartTLS FuzzName
internal/auth/passwdfile FuzzParse FuzzParseSecret
internal/auth/apppassword FuzzParse
internal/config FuzzParse FuzzCommand
internal/fetch FuzzJournal
internal/fetch/sink/smtp FuzzReply
internal/fetch/token FuzzWord
internal/fetch/rcfile FuzzParse FuzzSeen FuzzTuple
internal/store/bucket FuzzLabel FuzzEnding
internal/store/maildir FuzzNames FuzzAccount FuzzUIDs FuzzIndex FuzzJournal FuzzDovecot FuzzCourier
`

// executions of one batch, and those that a target should have seen.
const (
	executions = 200_000
	enough     = 10_000_000
)

func native() []campaign.Campaign {
	var all []campaign.Campaign
	for line := range strings.Lines(strings.TrimSpace(targets)) {
		pkg, names, _ := strings.Cut(strings.TrimSpace(line), " ")
		for name := range strings.FieldsSeq(names) {
			all = append(all, campaign.Campaign{
				Name: "fuzzing " + pkg + " " + name, Unit: "executions", Target: enough, Needs: goCommand,
				Run: func(ctx context.Context, _ uint64) (campaign.Result, error) { return fuzz(ctx, pkg, name, executions) },
			})
		}
	}
	return all
}

func goCommand() error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the fuzzer is part of the go command: %w", err)
	}
	return nil
}

// fuzz runs one target. What the fuzzer found before it begins with; an input
// that fails is written to the package's testdata.
func fuzz(ctx context.Context, pkg, name string, n int64) (campaign.Result, error) {
	r := campaign.Result{Count: n}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", fmt.Sprintf("%dx", n), "./"+pkg)
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case errors.As(err, &failed) && strings.Contains(string(out), "--- FAIL"):
		r.Find("%s %s: %.2000s", pkg, name, out)
	case err != nil:
		return r, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return r, nil
}
