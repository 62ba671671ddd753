package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table returns a condition's as Markdown whose columns line up in a terminal, too. In parentheses is how many times
// the first row's number a number is.
func (r *results) table(c condition) string {
	cols := columns(c)
	rows := [][]string{{""}}
	for _, col := range cols {
		rows[0] = append(rows[0], col.Title)
	}
	for i, p := range r.peers {
		row := []string{p.Name}
		for _, col := range cols {
			v, ok := r.value(c, p, col)
			base, has := r.value(c, r.peers[0], col)
			switch {
			case !ok:
				row = append(row, "–")
			case i == 0 || !has || base == 0:
				row = append(row, fmt.Sprintf(col.format, v))
			default:
				row = append(row, fmt.Sprintf(col.format+" (%s)", v, ratio(v/base)))
			}
		}
		if _, failed := r.failures[cell{condition: c.Name, peer: p.Name}]; failed {
			row[0] += " *"
		}
		rows = append(rows, row)
	}
	return markdown(rows)
}

// ratio formats how many times something is something else.
func ratio(x float64) string {
	if x >= 9.95 {
		return fmt.Sprintf("×%.0f", x)
	}
	return fmt.Sprintf("×%.2f", x)
}

// markdown formats a table; the first row is the header, the first column is left-aligned.
func markdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text), 3)
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, text := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i == 0 {
				b.WriteString("| " + text + pad)
			} else {
				b.WriteString(" | " + pad + text)
			}
		}
		b.WriteString(" |\n")
		if n == 0 {
			for i, w := range widths {
				if i == 0 {
					b.WriteString("|" + strings.Repeat("-", w+2))
				} else {
					b.WriteString("|" + strings.Repeat("-", w+1) + ":")
				}
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
