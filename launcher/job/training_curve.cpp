// Draws with lines and text only, so that every viewer shows it alike. Long runs are thinned by the mean of the steps
// that fall on one pixel column, with the raw spread behind it: a file stays small and a peak stays visible.
#include "launcher/job/training_curve.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

namespace trireme {
namespace {

constexpr double width = 800, height = 420, left = 70, right = 70, top = 44, bottom = 56;
constexpr const char* loss_colour = "#1f5fa8";
constexpr const char* accuracy_colour = "#c2571a";

/// Maps a range of values to a range of pixels.
struct Axis {
  std::vector<double> ticks;
  double from, to;  // pixels
  double at(double value) const {
    return from + (value - ticks.front()) / (ticks.back() - ticks.front()) * (to - from);
  }
};

struct Point {
  double x, y;
};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      out += c;
    }
  }
  return out;
}

std::string tick_text(double value) {
  if (std::abs(value) >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (std::abs(value) >= 1e4) return fmt::format("{:g}k", value / 1e3);
  return fmt::format("{:.6g}", value);
}

struct Text {
  double x, y;
  const char* anchor = "middle";
  const char* colour = "#333";
};

std::string text_element(const Text& place, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\">{}</text>\n", place.x, place.y,
                     place.anchor, place.colour, escaped(text));
}

std::string polyline(const std::vector<Point>& points, const char* colour, const char* more) {
  if (points.empty()) return "";
  std::string out = fmt::format("<polyline fill=\"none\" stroke=\"{}\" {} points=\"", colour, more);
  for (const Point& p : points) out += fmt::format("{:.1f},{:.1f} ", p.x, p.y);
  out.back() = '"';
  return out + "/>\n";
}

struct Column {
  double x, mean, low, high;
};

/// One entry per pixel column that holds steps; `gaps` where a loss was not finite.
std::vector<std::optional<Column>> thinned(const std::vector<StepRecord>& steps, const Axis& x) {
  std::vector<std::optional<Column>> out;
  std::int64_t column = -1, count = 0;
  for (const StepRecord& step : steps) {
    if (!std::isfinite(step.loss)) {
      out.push_back(std::nullopt);
      column = -1;
      continue;
    }
    const double at = x.at(static_cast<double>(step.step));
    if (const auto pixel = static_cast<std::int64_t>(at); pixel != column) {
      out.push_back(Column{at, step.loss, step.loss, step.loss});
      column = pixel;
      count = 1;
      continue;
    }
    Column& c = *out.back();
    c.mean += (step.loss - c.mean) / static_cast<double>(++count);
    c.low = std::min(c.low, step.loss);
    c.high = std::max(c.high, step.loss);
  }
  return out;
}

std::string loss_curve(const std::vector<StepRecord>& steps, const Axis& x, const Axis& y) {
  std::string spread, curve;
  std::vector<Point> points;
  const auto flush = [&] {
    curve += polyline(points, loss_colour, "stroke-width=\"1.6\" class=\"loss\"");
    points.clear();
  };
  for (const auto& c : thinned(steps, x)) {
    if (!c) {
      flush();
      continue;
    }
    points.push_back({c->x, y.at(c->mean)});
    if (c->high > c->low) spread += fmt::format("M{:.1f} {:.1f}V{:.1f}", c->x, y.at(c->low), y.at(c->high));
  }
  flush();
  if (!spread.empty())
    spread = fmt::format("<path d=\"{}\" stroke=\"{}\" stroke-opacity=\"0.25\"/>\n", spread, loss_colour);
  return spread + curve;
}

std::string accuracy_curve(const std::vector<ValidationRecord>& validations, const Axis& x, const Axis& y) {
  std::vector<Point> points;
  std::string dots;
  for (const ValidationRecord& one : validations) {
    if (!one.accuracy || !std::isfinite(*one.accuracy)) continue;
    points.push_back({x.at(static_cast<double>(one.step)), y.at(100 * *one.accuracy)});
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", points.back().x, points.back().y,
                        accuracy_colour);
  }
  return polyline(points, accuracy_colour, "stroke-width=\"1.6\" class=\"accuracy\"") + dots;
}

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

struct Axes {
  Axis x, loss, accuracy;
};

Axes axes_of(const MetricsHistory& history) {
  Range steps, losses, accuracies;
  for (const StepRecord& one : history.steps) {
    steps.add(static_cast<double>(one.step));
    losses.add(one.loss);
  }
  for (const ValidationRecord& one : history.validations) {
    steps.add(static_cast<double>(one.step));
    if (one.accuracy) accuracies.add(100 * *one.accuracy);
  }
  steps.add(0);
  if (losses.low > 0) losses.add(0);
  return {.x = {axis_ticks(steps.low, steps.high, 8), left, width - right},
          .loss = {axis_ticks(losses.low, losses.high, 6), height - bottom, top},
          .accuracy = {axis_ticks(accuracies.low, accuracies.high, 6), height - bottom, top}};
}

std::string frame(const Axes& axes, bool accuracies) {
  std::string out;
  for (const double tick : axes.loss.ticks) {
    const double y = axes.loss.at(tick);
    out += fmt::format("<path d=\"M{} {:.1f}H{}\" stroke=\"#ddd\"/>\n", left, y, width - right);
    out += text_element({left - 8, y + 4, "end", loss_colour}, tick_text(tick));
  }
  for (const double tick : axes.x.ticks) {
    const double x = axes.x.at(tick);
    out += fmt::format("<path d=\"M{:.1f} {}v5\" stroke=\"#333\"/>\n", x, height - bottom);
    out += text_element({x, height - bottom + 20}, tick_text(tick));
  }
  if (accuracies) {
    for (const double tick : axes.accuracy.ticks) {
      const double y = axes.accuracy.at(tick);
      out += fmt::format("<path d=\"M{} {:.1f}h5\" stroke=\"{}\"/>\n", width - right, y, accuracy_colour);
      out += text_element({width - right + 9, y + 4, "start", accuracy_colour}, tick_text(tick));
    }
    out += text_element({width - 12, top - 14, "end", accuracy_colour}, "validation accuracy, %");
  }
  out += text_element({12, top - 14, "start", loss_colour}, "loss");
  out += text_element({(left + width - right) / 2, height - 14}, "step");
  return out + fmt::format("<path d=\"M{} {}V{}H{}V{}\" fill=\"none\" stroke=\"#333\"/>\n", left, top, height - bottom,
                           width - right, top);
}

}  // namespace

std::vector<double> axis_ticks(double low, double high, int wanted) {
  if (!std::isfinite(low) || !std::isfinite(high) || low > high) low = 0, high = 1;
  if (high - low <= std::abs(high) * 1e-9) high = low + 1;
  const double rough = (high - low) / std::max(1, wanted);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough * 0.999) step = factor * power;
  }
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  std::vector<double> ticks;
  for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

std::string training_curve_svg(const MetricsHistory& history, const std::string& title) {
  const Axes axes = axes_of(history);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      width, height);
  out += text_element({width / 2, 18}, title);
  out += frame(axes, std::ranges::any_of(history.validations,
                                         [](const ValidationRecord& one) { return one.accuracy.has_value(); }));
  out += loss_curve(history.steps, axes.x, axes.loss);
  out += accuracy_curve(history.validations, axes.x, axes.accuracy);
  return out + "</svg>\n";
}

}  // namespace trireme
