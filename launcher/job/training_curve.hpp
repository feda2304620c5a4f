// A training curve as SVG text: loss (left axis) and validation accuracy in percent (right axis) against the step.
#pragma once

#include <string>
#include <vector>

#include "launcher/run/metrics.hpp"

namespace trireme {

/// Round values (1, 2 or 5 times a power of ten apart) that cover low..high, about `wanted` of them. Equal or
/// non-finite bounds give a range of width 1.
std::vector<double> axis_ticks(double low, double high, int wanted);

/// A whole SVG document; points that are not finite are left out (the curve has a gap there). `title` may hold any
/// text.
std::string training_curve_svg(const MetricsHistory& history, const std::string& title);

}  // namespace trireme
