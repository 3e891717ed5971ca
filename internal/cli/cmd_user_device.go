package cli

import (
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/postwain/postwain/internal/auth/apppassword"
	"github.com/postwain/postwain/internal/config"
	"github.com/postwain/postwain/internal/daemon"
)

// appPassword makes, shows and revokes passwords for single devices.
func (e Env) appPassword(file, data string, args []string) error {
	verb := "nothing"
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	want, known := map[string]string{"add": "NAME DEVICE", "remove": "NAME DEVICE", "list": "[NAME]", "only": "NAME on|off"}[verb]
	if !known {
		return usagef("user app-password can add, list, remove and only, not %s", verb)
	}
	if verb == "list" && len(args) > 1 || verb != "list" && len(args) != 2 || verb == "only" && !slices.Contains([]string{"on", "off"}, args[1]) {
		return usagef("write: postwain user app-password %s %s", verb, want)
	}
	path, err := e.appPasswords(file, data)
	if err != nil {
		return err
	}
	switch verb {
	case "add":
		word, err := apppassword.Add(path, args[0], args[1])
		if err == nil {
			_, err = fmt.Fprintf(e.Stdout, "%s\n", word)
		}
		return err
	case "remove":
		return apppassword.Remove(path, args[0], args[1])
	case "only":
		return apppassword.SetOnly(path, args[0], args[1] == "on")
	}
	return e.listDevices(path, args)
}

// appPasswords is the file that serve would use.
func (e Env) appPasswords(file, data string) (string, error) {
	if file == "" {
		z, err := daemon.NewZero(data, e.Getenv)
		if err != nil {
			return "", err
		}
		return z.Config().Accounts.AppPasswords, nil
	}
	c, err := config.Load(file)
	if err != nil {
		return "", err
	}
	if c.Accounts.AppPasswords == "" {
		return "", fmt.Errorf("%s has no app_passwords in [accounts]; write app_passwords = \"/etc/postwain/app-passwords\" there", file)
	}
	return c.Accounts.AppPasswords, nil
}

// listDevices prints a table of the devices of an account, or of all.
func (e Env) listDevices(path string, args []string) error {
	account := ""
	if len(args) > 0 {
		account = args[0]
	}
	list, err := apppassword.List(path, account)
	if err != nil {
		return err
	}
	only, err := apppassword.Only(path)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	for _, p := range list {
		used := "never used"
		if !p.Used.IsZero() {
			used = "used " + p.Used.UTC().Format(time.DateTime)
			if p.From.IsValid() {
				used += " from " + p.From.String()
			}
		}
		rule := ""
		if slices.Contains(only, p.Account) {
			rule = "\tno other password"
		}
		fmt.Fprintf(w, "%s\t%s\tmade %s\t%s%s\n", p.Account, p.Device, p.Made.UTC().Format(time.DateOnly), used, rule)
	}
	return w.Flush()
}
