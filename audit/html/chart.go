// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/go-analyze/charts"
	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// A form is what a chart looks like.
type form int

const (
	bars form = iota
	stacked
	lines
)

// A chart is a picture of numbers, with the numbers beside it.
type chart struct {
	form form
	id   string
	// title says what it shows; about says in words what there is to see.
	title, about string
	// axis and rows name what is counted, below the picture and in the table; of says what they are, such as "day".
	axis, rows []string
	of         string
	series     []series
	// format writes a value; nil is a whole number.
	format func(float64) string
	// max is the end of the scale; 0 follows from the values.
	max   float64
	small bool
}

// class says how large it is, and which colours it has: those of ranges ascend.
func (c *chart) class() string {
	switch {
	case c.form == stacked:
		return "chart large scale"
	case c.small:
		return "chart"
	}
	return "chart large"
}

// A series is the values of one sort, one for each label. A missing value is none.
type series struct {
	name   string
	values []float64
}

func none() float64 { return charts.GetNullValue() }

// The numbers of the colours that a chart is drawn in. They are names: style.css says what they look like, in the light, in the dark
// and on paper.
const (
	colourText = 20 + iota
	colourGrid
	colourAxis
)

func colour(number int) charts.Color { return charts.Color{R: uint8(number), A: 255} }

// maxColours is how many colours there are, maxLines how many lines can be told apart.
const (
	maxColours = 5
	maxLines   = 4
)

func theme() charts.ColorPalette {
	var colours []charts.Color
	for i := range maxColours {
		colours = append(colours, colour(1+i))
	}
	return charts.GetTheme(charts.ThemeLight).WithSeriesColors(colours).WithTextColor(colour(colourText)).
		WithAxisSplitLineColor(colour(colourGrid)).WithXAxisColor(colour(colourAxis)).WithYAxisColor(colour(colourAxis)).
		WithXAxisTextColor(colour(colourText)).WithYAxisTextColor(colour(colourText)).WithBackgroundColor(charts.ColorTransparent)
}

func (c *chart) write(v float64) string {
	switch {
	case v == none():
		return "none"
	case c.format != nil:
		return c.format(v)
	}
	return comma(int64(v))
}

// scale returns the end of a scale of whole numbers up to highest, and in how many steps it is divided.
func scale(highest float64) (top float64, steps int) {
	step := 1.0
	for i := 0; highest > 5*step; i++ {
		step *= []float64{2, 2.5, 2}[i%3] // 1, 2, 5, 10, 20, ...
	}
	steps = max(1, int(math.Ceil(highest/step)))
	return step * float64(steps), steps
}

// some keeps at most n labels, evenly apart, so that they do not run into each other.
func some(labels []string, n int) []string {
	step := (len(labels) + n - 1) / n
	kept := make([]string, len(labels))
	for i := 0; i < len(labels); i += step {
		kept[i] = labels[i]
	}
	return kept
}

// draw returns the picture as SVG.
func (c *chart) draw() ([]byte, error) {
	theme, labels := theme(), 7
	options := charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 480, Height: 260, Theme: theme}
	if c.small {
		options.Width, options.Height, labels = 320, 150, 4
	}
	painter := charts.NewPainter(options)
	values := make([][]float64, len(c.series))
	names := make([]string, len(c.series))
	highest := 0.0
	for i, s := range c.series {
		values[i], names[i] = slices.Clone(s.values), s.name
		for j, v := range s.values {
			if v != none() {
				highest = max(highest, v)
			}
			if v == 0 && c.form == bars {
				values[i][j] = none() // nothing is no line either
			}
		}
	}
	top, steps := c.max, 4
	if top == 0 {
		top, steps = scale(highest)
	}
	font := charts.FontStyle{FontSize: 9.5, FontColor: colour(colourText)}
	axis := charts.ValueAxisOption{
		Min: new(0.0), Max: &top, LabelCount: steps + 1, PreferNiceIntervals: new(false), RangeValuePaddingScale: new(0.0),
		ValueFormatter: c.write, LabelFontStyle: font,
	}
	category := charts.CategoryAxisOption{Labels: some(c.axis, labels), LabelFontStyle: font, BoundaryGap: new(true), LabelCount: len(c.axis)}
	legend := charts.LegendOption{SeriesNames: names, FontStyle: font, Show: new(len(c.series) > 1)}
	padding := charts.Box{Top: 12, Right: 12, Bottom: 8, Left: 4, IsSet: true}
	var err error
	if c.form == lines {
		o := charts.NewLineChartOptionWithData(values)
		shapes := []charts.SymbolShape{charts.SymbolCircle, charts.SymbolDiamond, charts.SymbolDot}
		for i := range o.SeriesList {
			o.SeriesList[i].Symbol = charts.Symbol{Shape: shapes[i%len(shapes)], Size: 4}
		}
		o.Theme, o.XAxis, o.YAxis, o.Legend, o.Padding = theme, category, []charts.YAxisOption{axis}, legend, padding
		err = painter.LineChart(o)
	} else {
		o := charts.NewBarChartOptionWithData(values)
		o.StackSeries = new(c.form == stacked)
		o.Theme, o.CategoryAxis, o.ValueAxis, o.Legend, o.Padding = theme, category, []charts.ValueAxisOption{axis}, legend, padding
		err = painter.BarChart(o)
	}
	if err != nil {
		return nil, fmt.Errorf("draw chart: %w", err)
	}
	return painter.Bytes()
}

// Render writes the chart and, folded up, its numbers.
func (c *chart) Render(w io.Writer) error {
	picture, err := c.draw()
	if err != nil {
		return err
	}
	svg, err := restyle(picture, c.id, c.title, c.about)
	if err != nil {
		return err
	}
	columns := []column{words(c.of)}
	for _, s := range c.series {
		columns = append(columns, numbers(s.name))
	}
	var rows [][]cell
	for i, label := range c.rows {
		row := []cell{textCell(label)}
		for _, s := range c.series {
			v := s.values[i]
			key := strconv.FormatFloat(v, 'f', -1, 64)
			if v == none() {
				key = "-1"
			}
			row = append(row, cell{g.Text(c.write(v)), key})
		}
		rows = append(rows, row)
	}
	return h.Figure(h.Class(c.class()),
		h.FigCaption(h.Strong(g.Text(c.title)), h.Span(g.Text(c.about))),
		svg,
		h.Details(h.Summary(g.Text("The numbers"), h.Span(h.Class("hidden"), g.Text(" of: "+c.title))), table(c.title, columns, rows)),
	).Render(w)
}
