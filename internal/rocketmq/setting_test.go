package rocketmq

import "testing"

func TestSetting(t *testing.T) {
	for settings, want := range map[string]string{
		"":                         "",
		"flushDiskType=SYNC_FLUSH": "SYNC_FLUSH",
		"#flushDiskType=SYNC_FLUSH\nbrokerName=a=b\r\nflushDiskType = ASYNC_FLUSH \r\nx=1": "ASYNC_FLUSH",
		"flushDiskType=SYNC_FLUSH\nflushDiskType=ASYNC_FLUSH\n":                            "ASYNC_FLUSH",
		"flushDiskTypeOf=SYNC_FLUSH\nnoflushDiskType=SYNC_FLUSH\nflushDiskType":            "",
	} {
		if got := setting(settings, "flushDiskType"); got != want {
			t.Errorf("%q has %q, and %q is read", settings, want, got)
		}
	}
	if got := setting("brokerName=a=b\n", "brokerName"); got != "a=b" {
		t.Errorf("a value with a sign in it is read as %q", got)
	}
}
