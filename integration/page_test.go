// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The report as people see it, in a real browser: it asks for nothing, complains of nothing, sorts and filters, fits a phone, can be
// read in the light and in the dark, and prints. What it looks like is in bin/audit.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	s := &site{t: t, output: new(bytes.Buffer)}
	run := func(code int, args ...string) {
		t.Helper()
		if r := s.run(nil, args...); r.code != code {
			t.Fatalf("%v: exit code %d\n%s", args, r.code, r.stderr)
		}
	}
	run(0, "demo", "--dir", dir)
	stage := filepath.Join(dir, "stage")
	clean, dirty := filepath.Join(dir, "clean.html"), filepath.Join(dir, "dirty.html")
	run(0, "audit", "--stage", "file://"+stage, "--html", clean)
	for i := range 12 {
		if err := os.WriteFile(filepath.Join(stage, fmt.Sprintf("notes-%d.txt", i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(1, "audit", "--stage", "file://"+stage, "--html", dirty)
	b := newBrowser(t)

	t.Run("sorts and filters", func(t *testing.T) {
		b.open(t, "file://"+clean)
		const header = `#collected th:nth-child(3)`
		const column = `[...document.querySelectorAll("#collected tbody tr")].filter(r => !r.hidden).map(r => Number(r.cells[2].dataset.sort))`
		var numbers []int
		for _, order := range []string{"ascending", "descending"} {
			b.run(t, chromedp.Focus(chromedp.CSS(header+" button")), chromedp.KeyEvent("\r")) // as who has no mouse does
			state := value(t, b, chromedp.AttributeValue(chromedp.CSS(header), "aria-sort")).Value
			numbers = value(t, b, chromedp.Evaluate[[]int](column))
			sorted := slices.IsSorted(numbers)
			if order == "descending" {
				slices.Reverse(numbers)
				sorted = slices.IsSorted(numbers)
			}
			if state != order || !sorted || len(numbers) < 8 {
				t.Errorf("%s: %v, %v", order, state, numbers)
			}
		}
		b.run(t, chromedp.Click(chromedp.CSS(`#collected th:nth-child(1) button`)), chromedp.SendKeys(chromedp.CSS(`#collected input`), "deployment c"))
		numbers = value(t, b, chromedp.Evaluate[[]int](column))
		said := value(t, b, chromedp.Text(chromedp.CSS(`#collected output`)))
		if len(numbers) != 1 || !strings.HasPrefix(said, "1 of ") {
			t.Errorf("%v, %q", numbers, said)
		}
		b.quiet(t, "file://"+clean)
	})

	for _, look := range []struct {
		name, file, scheme, media string
		width, height             int64
		open                      bool // all that is folded up
	}{
		{"desktop", clean, "light", "screen", 1280, 900, false},
		{"tablet", clean, "light", "screen", 800, 1100, true},
		{"dark", dirty, "dark", "screen", 1280, 900, false},
		{"dark-open", dirty, "dark", "screen", 1280, 900, true},
		{"phone", clean, "light", "screen", 360, 740, false},
		{"phone-open", dirty, "dark", "screen", 360, 740, true},
		{"paper", dirty, "light", "print", 794, 1123, false},
	} {
		t.Run(look.name, func(t *testing.T) {
			b.run(t, chromedp.EmulateViewport(look.width, look.height), media(look.media, look.scheme))
			b.open(t, "file://"+look.file)
			if look.open {
				value(t, b, chromedp.Evaluate[bool](`document.querySelectorAll("details").forEach(d => { d.open = true }), true`))
			}
			if wide := value(t, b, chromedp.Evaluate[[]string](tooWide)); len(wide) > 0 {
				t.Errorf("wider than the screen: %v", wide)
			}
			if faint := value(t, b, chromedp.Evaluate[[]string](tooFaint)); len(faint) > 0 {
				t.Errorf("hard to read: %v", faint)
			}
			if !look.open && look.media == "screen" {
				b.screenshot(t, look.name)
			}
			b.quiet(t, "file://"+look.file)
		})
	}

	t.Run("prints", func(t *testing.T) {
		b.run(t, media("", "light"))
		b.open(t, "file://"+dirty)
		pdf := value(t, b, chromedp.PrintToPDF(chromedp.PDFPrintBackground()))
		if pages := bytes.Count(pdf, []byte("/Type /Page\n")); !bytes.HasPrefix(pdf, []byte("%PDF-")) || pages < 4 {
			t.Errorf("%d bytes, %d pages", len(pdf), pages)
		}
		b.keep(t, "report.pdf", pdf)
	})

	t.Run("browses", func(t *testing.T) {
		address := s.serve(t, "audit", "--stage", "file://"+stage, "--serve")
		b.run(t, chromedp.EmulateViewport(360, 740), media("screen", "light"))
		b.open(t, address)
		b.run(t, chromedp.Click(chromedp.CSS(`header a`)), chromedp.WaitVisible(chromedp.CSS(`tbody a[href^="/batch/"]`)),
			chromedp.Click(chromedp.CSS(`tbody a`)), chromedp.WaitVisible(chromedp.CSS(`#receipts`)))
		rows, wide := value(t, b, chromedp.Evaluate[int](`document.querySelectorAll("#events tbody tr").length`)), value(t, b, chromedp.Evaluate[[]string](tooWide))
		if rows != 50 || len(wide) > 0 {
			t.Errorf("%d events; wider than the screen: %v", rows, wide)
		}
		b.screenshot(t, "batch")
		b.quiet(t, address)
	})
}

// tooWide lists what makes a page scroll sideways.
const tooWide = `document.documentElement.scrollWidth <= innerWidth ? [] :
	[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + " " + e.className).slice(0, 5)`

// tooFaint lists texts whose contrast to what is behind them is less than 4.5, which WCAG asks for at level AA.
const tooFaint = `(() => {
	const parse = c => { const [r, g, b, a = 1] = c.match(/[\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
	const light = rgb => { const [r, g, b] = rgb.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a > 0) return c.rgb; } return [255, 255, 255]; };
	const found = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || !e.checkVisibility() || ["SCRIPT", "title", "desc"].includes(e.tagName)) continue;
		const style = getComputedStyle(e);
		const [a, b] = [light(parse(e instanceof SVGElement ? style.fill : style.color).rgb), light(behind(e))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) found.add(e.tagName + " " + walker.currentNode.data.trim().slice(0, 20) + " " + contrast.toFixed(1));
	}
	return [...found].slice(0, 5);
})()`

// A browser is Chromium, with what it asked for and complained of since it opened a page.
type browser struct {
	ctx context.Context

	mu         sync.Mutex
	requests   []string
	complaints []string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")), chromedp.WSURLReadTimeout(2*time.Minute))
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...) // it is closed below
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // and waits, so that the profile can be removed
			t.Error(err)
		}
		closeTab()
		stop()
	})
	b := &browser{ctx: ctx}
	err := chromedp.Do(ctx)
	if err == nil {
		err = chromedp.Listen(ctx, b.hear)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.run(t, func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{})
		return chromedp.Void{}, err
	})
	return b
}

// media makes the browser show pages on a screen or on paper, in the light or in the dark.
func media(media, scheme string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	}
}

// hear notes what happens in the browser.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			b.requests = append(b.requests, e.Request.URL)
		}
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, string(e.Type))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, e.Entry.Text)
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// value runs an action that has one.
func value[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (b *browser) open(t *testing.T, address string) {
	t.Helper()
	b.mu.Lock()
	b.requests, b.complaints = nil, nil
	b.mu.Unlock()
	b.run(t, chromedp.Navigate(address), chromedp.WaitReady(chromedp.CSS("main")))
}

// quiet checks that the browser asked for nothing but what is under the address, and complained of nothing.
func (b *browser) quiet(t *testing.T, address string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.requests) == 0 {
		t.Error("the browser asked for nothing at all")
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, address) {
			t.Errorf("the page asks for %s", r)
		}
	}
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains: %v", b.complaints)
	}
}

func (b *browser) screenshot(t *testing.T, name string) {
	t.Helper()
	b.keep(t, name+".png", value(t, b, chromedp.FullScreenshot(100)))
}

// keep keeps what somebody may want to look at.
func (b *browser) keep(t *testing.T, name string, content []byte) {
	t.Helper()
	const dir = "../bin/audit"
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs the program until the test ends, and returns the address that it says.
func (s *site) serve(t *testing.T, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was told to end
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if address := regexp.MustCompile(`http://\S+`).FindString(lines.Text()); address != "" {
			return address
		}
	}
	t.Fatal("the program does not say where it serves")
	return ""
}
