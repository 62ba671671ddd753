package main

import (
	"fmt"
	"html"
	"strings"
)

// The plot's measures, in pixels.
const (
	plotWidth  = 760
	plotLabel  = 130 // of the peers' names
	plotBar    = 16
	plotGap    = 5
	plotTitle  = 34
	plotMargin = 12
	plotValue  = 90 // right of the longest bar
)

// plot draws TCP of one stream as SVG: a panel for each condition, a bar for each peer.
func (r *results) plot() string {
	panel := plotTitle + len(r.peers)*(plotBar+plotGap)
	height := 3*plotMargin + len(r.conditions)*panel
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-weight="bold">TCP, one stream, Gbit/s</text>`+"\n", plotMargin, plotMargin+8)
	for i, c := range r.conditions {
		r.panel(&b, c, 2*plotMargin+i*panel)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel draws a condition's bars from y downwards, to a scale of their own.
func (r *results) panel(b *strings.Builder, c condition, y int) {
	col := columns(c)[0] // TCP of one stream, everywhere
	text, _, _ := strings.Cut(c.Text, "; ")
	fmt.Fprintf(b, `<text x="%d" y="%d"><tspan font-weight="bold">%s</tspan> %s</text>`+"\n", plotMargin, y+18, html.EscapeString(c.Name), html.EscapeString(text))
	longest := 0.0
	for _, p := range r.peers {
		v, _ := r.value(c, p, col)
		longest = max(longest, v)
	}
	for i, p := range r.peers {
		top := y + plotTitle - 6 + i*(plotBar+plotGap)
		v, ok := r.value(c, p, col)
		value, width := "–", 0.0
		if ok {
			value = fmt.Sprintf(col.format, v)
			width = v / longest * (plotWidth - plotLabel - plotValue)
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, plotLabel-6, top+12, html.EscapeString(p.Name))
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, plotLabel, top, width, plotBar, colour(p))
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", plotLabel+width+5, top+12, value)
	}
}

// colour tells meshnet, its peers and the limits apart.
func colour(p peer) string {
	switch {
	case strings.HasPrefix(p.Name, "meshnet"):
		return "#1f6feb"
	case p.Name == "veth" || p.Name == "vxlan":
		return "#c9ccd1"
	default:
		return "#8b949e"
	}
}
