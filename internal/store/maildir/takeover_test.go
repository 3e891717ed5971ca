package maildir

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/postwain/postwain/internal/fsx/faultfs"
	"github.com/postwain/postwain/maildrop"
)

// served is a Maildir that Dovecot 2.3 has served: testdata/dovecot-uidlist is
// its file, to which P, O and G records were added by hand. What follows is
// what Dovecot answered then.
var served = []string{
	"1795478845.M867745P11372.mx,S=236,W=247:2,",
	"1795478845.M917096P11372.mx,S=239,W=250:2,",
	"1795478845.M924922P11372.mx,S=239,W=250:2,S",
	"1795478845.M930167P11372.mx,S=239,W=250",
}

const lastServed = "1795478845.M930167P11372.mx,S=239,W=250"

func uidsOf(b maildrop.Box) (uids []string) {
	for _, m := range b.Messages() {
		uids = append(uids, m.UID)
	}
	return uids
}

func sizesOf(b maildrop.Box) (sizes []int64) {
	for _, m := range b.Messages() {
		sizes = append(sizes, m.Size)
	}
	return sizes
}

func TestTakeOverDovecot(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/dovecot-uidlist")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		format string
		want   []string
	}{
		{"", []string{"000000046b04d53d", "foo", "000000016b04d53d", lastServed}},
		{"%08Xu%08Xv", []string{"000000046b04d53d", "foo", "000000016b04d53d", lastServed}},
		{"%f", []string{"1795478845.M924922P11372.mx,S=239,W=250", "foo", "1795478845.M867745P11372.mx,S=236,W=247", lastServed}},
		{"%u-%v", []string{"4-1795478845", "foo", "1-1795478845", lastServed}},
		{"%v.%5u", []string{"1795478845.4", "foo", "1795478845.1", lastServed}},
		{"%3u%Xv", []string{"46b04d53d", "foo", "16b04d53d", lastServed}},
		{"%u.%02Xv", []string{"4.6b04d53d", "foo", "1.6b04d53d", lastServed}},
		{"%u.%04v", []string{"4.1795478845", "foo", "1.1795478845", lastServed}},
		{"%u.%4v", []string{"4.1795", "foo", "1.1795", lastServed}},
		{"%u.%4Xv", []string{"4.6b04", "foo", "1.6b04", lastServed}},
		{"%u%%", []string{"4%", "foo", "1%", lastServed}},
	} {
		t.Run(c.format, func(t *testing.T) {
			t.Parallel()
			d := memDisk(t, faultfs.New())
			format := func(o *Options) { o.UIDLFormat = c.format }
			for _, name := range served {
				sub := "cur"
				if name == lastServed {
					sub = "new"
				}
				d.plant(t, sub, name, strings.Repeat("x\n", 10))
			}
			d.plant(t, "", dovecotList, string(list))
			d.plant(t, "new", "1795478846.M1P1.mx,S=5,W=6", "hello")
			want := append(slices.Clone(c.want), "1795478846.M1P1.mx")
			for _, lose := range []string{"", indexName, dovecotList} {
				if lose != "" {
					d.lose(t, lose)
				}
				s := d.mustOpen(t, format)
				b := mustBox(t, s)
				if got := uidsOf(b); !slices.Equal(got, want) {
					t.Errorf("without %q the UIDs are %q, want %q", lose, got, want)
				}
				if got := sizesOf(b); !slices.Equal(got, []int64{250, 250, 247, 250, 6}) {
					t.Errorf("the sizes are %d", got)
				}
				b.Close()
				s.Close()
			}
		})
	}
}

func TestTakeOverCourier(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"/2 9 1234\n", "/3 9 1234\n"} {
		utf8 := ""
		if head[1] == '3' {
			utf8 = ":0"
		}
		d := memDisk(t, faultfs.New())
		d.plant(t, "cur", "1700000003.M1P1.mx:2,S", "a\n")
		d.plant(t, "cur", "1700000001.M1P1.mx,S=2:2,", "b\n")
		d.plant(t, "cur", "1700000002.M1'P1.mx:2,", "c\n")
		d.plant(t, "new", "1700000004.M1P1.mx", "d\n")
		d.plant(t, "", courierList, head+
			"1700000001.M1P1.mx,S=2:2, 3 5:77"+utf8+"\n"+
			"1700000002.M1'P1.mx:2, 3 0:0"+utf8+"\n"+
			"1700000003.M1P1.mx:2,S 3 6:0"+utf8+"\n"+
			"gone 3 7:77"+utf8+"\nrubbish\n x y\n")
		b := mustBox(t, d.mustOpen(t))
		want := []string{"UID5-77", "1700000002.M1+27P1.mx", "UID6", "1700000004.M1P1.mx"}
		if got := uidsOf(b); !slices.Equal(got, want) {
			t.Errorf("%q: the UIDs are %q, want %q", head, got, want)
		}
	}
}

// What other servers' files say is believed only as far as it can be true.
func TestTakeOverHostile(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		d.plant(t, "new", name, name+"\n")
	}
	d.plant(t, "", dovecotList, "3 V1 N9\n"+
		"1 Psame :a\n2 Psame :b\n3 P"+strings.Repeat("x", 71)+" :c\n4 P\x01 :d\n"+
		"99999999999999999999 :e\n5 Px :../../etc/passwd\n6 Px\n:\n\xff\xfe\n")
	b := mustBox(t, d.mustOpen(t))
	got := uidsOf(b)
	slices.Sort(got)
	if want := []string{"b", "c", "d", "e", "same"}; !slices.Equal(got, want) {
		t.Errorf("the UIDs are %q, want %q", got, want)
	}
}

// A file that appears after we have shown UIDs changes none, whatever is lost.
func TestTakeOverOnlyAtFirstSight(t *testing.T) {
	t.Parallel()
	d := memDisk(t, faultfs.New())
	d.plant(t, "new", "1700000001.M1P1.mx,S=2,W=3", "a\n")
	s := d.mustOpen(t)
	mustBox(t, s).Close()
	d.plant(t, "", dovecotList, "3 V1 N9\n1 :1700000001.M1P1.mx,S=2,W=3\n")
	s.Close()
	s = d.mustOpen(t)
	if got := uidsOf(mustBox(t, s)); got[0] != "1700000001.M1P1.mx" {
		t.Errorf("the UID became %q", got)
	}
}

func TestUIDLFormatBad(t *testing.T) {
	t.Parallel()
	for _, f := range []string{"%", "%m", "%v", "x", "%08", "%99999999999u", "%-4u"} {
		if _, err := parseUIDLFormat(f); err == nil {
			t.Errorf("%q is taken", f)
		}
	}
}

func FuzzDovecot(f *testing.F) {
	if list, err := os.ReadFile("testdata/dovecot-uidlist"); err == nil {
		f.Add(list)
	}
	f.Add([]byte("3 V1\n1 P O G :a:2,S\n"))
	format, err := parseUIDLFormat("%08Xu%08Xv")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if known := parseDovecot(data, format); len(known) > len(data)/4 {
			t.Errorf("%d octets tell of %d messages", len(data), len(known))
		}
	})
}

func FuzzCourier(f *testing.F) {
	f.Add([]byte("/3 9 1234\na:2,S 3 5:77:0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if known := parseCourier(data); len(known) > len(data)/4 {
			t.Errorf("%d octets tell of %d messages", len(data), len(known))
		}
	})
}
