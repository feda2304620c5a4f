// Shared memory of one host with real processes: who sees what, who waits for whom, what a dead process leaves behind.
#include "comm/node_window.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "comm/node_sync.hpp"
#include "comm/window_operation.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "tests/comm/fork_group.hpp"

namespace trireme {
namespace {

using Counter = NodeSync::Counter;
using test::ForkGroup;

/// Windows by name; folders are those of other tests.
int leftovers() {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    std::error_code gone;
    found += entry.path().filename().string().starts_with("trireme-") && entry.is_regular_file(gone);
  }
  return found;
}

TEST(NodeWindow, EveryProcessSeesEverySlice) {
  ForkGroup group(4, [](const NodeGroup& node) {
    const auto made = NodeWindow::create(node, {.control = 100, .slice = 5000});
    if (!made.window || leftovers() != 0) return 1;
    const auto memory = made.window->allocator();
    const auto first = memory->allocate(1), second = memory->allocate(3000);
    if (made.window->offset_of(first->data()) != 0u || made.window->offset_of(second->data()) != 128u) return 2;
    std::memset(second->data(), 'a' + node.rank, 3000);
    node.exchange("written");
    for (int r = 0; r < node.size; ++r) {
      for (std::size_t i = 0; i < 3000; ++i) {
        if (made.window->slice(r)[128 + i] != static_cast<std::byte>('a' + r)) return 3;
      }
    }
    for (std::size_t i = 0; i < 100; ++i) {
      if (made.window->control()[i] != std::byte{0}) return 4;
    }
    return made.window->offset_of(&node) ? 5 : 0;
  });
  for (int r = 0; r < 4; ++r) EXPECT_EQ(group.wait(r), 0) << "child " << r;
}

TEST(NodeWindow, LargeSlicesBeginOnHugePages) {
  constexpr std::size_t huge_page = std::size_t{2} << 20, bytes = 2 * huge_page + 5000;
  ForkGroup group(3, [](const NodeGroup& node) {
    const auto made = NodeWindow::create(node, {.control = 100, .slice = bytes});
    if (!made.window) return 1;
    for (int r = 0; r < node.size; ++r) {
      if (reinterpret_cast<std::uintptr_t>(made.window->slice(r)) % huge_page != 0) return 2;
    }
    std::memset(made.window->slice(node.rank), 'a' + node.rank, bytes);
    node.exchange("written");
    for (int r = 0; r < node.size; ++r) {
      for (const std::size_t at : {std::size_t{0}, huge_page, 2 * huge_page, bytes - 1}) {
        if (made.window->slice(r)[at] != static_cast<std::byte>('a' + r)) return 3;
      }
    }
    return 0;
  });
  for (int r = 0; r < 3; ++r) EXPECT_EQ(group.wait(r), 0) << "child " << r;
}

/// What one operation leaves for the others to read must outlast the next two.
TEST(WindowChannel, ThreePlacesInARowNeverOverlap) {
  ForkGroup group(1, [](const NodeGroup& node) {
    const WindowChannel::Layout layout{.chunk = 100'000};
    const auto made = NodeWindow::create(node, {NodeSync::bytes(1), layout.total()});
    WindowChannel channel(made.window, node, layout);
    std::array<std::pair<std::size_t, std::size_t>, 2> before{};  // first and end
    std::uint32_t state = 1;
    for (int k = 0; k < 100'000; ++k) {
      state = state * 1664525u + 1013904223u;
      const std::size_t bytes = k % 3 == 0 ? layout.largest() : (state >> 8) % (layout.largest() + 1);
      const std::size_t first = channel.take_place(bytes), end = first + bytes;
      if (first % 128 != 0 || end > layout.total()) return 1;
      for (const auto& [other_first, other_end] : before) {
        if (first < other_end && other_first < end) return 2;
      }
      before = {before[1], std::pair{first, end}};
    }
    return 0;
  });
  EXPECT_EQ(group.wait(0), 0);
}

TEST(NodeWindow, ABufferKeepsTheMemoryAndTooMuchIsRefused) {
  ForkGroup group(1, [](const NodeGroup& node) {
    std::shared_ptr<Buffer> buffer;
    {
      const auto memory = NodeWindow::create(node, {.control = 0, .slice = 4096}).window->allocator();
      buffer = memory->allocate(4096);
      try {
        memory->allocate(1);
        return 1;
      } catch (const Error&) {
      }
    }
    std::memset(buffer->data(), 1, 4096);
    return 0;
  });
  EXPECT_EQ(group.wait(0), 0);
}

TEST(NodeWindow, MoreMemoryThanThereIsIsRefusedByAllWithTheSameText) {
  ForkGroup group(3, [](const NodeGroup& node) {
    const auto made = NodeWindow::create(node, {.control = 0, .slice = std::size_t{1} << 45});
    if (made.window) return 1;
    const auto texts = node.exchange(made.refusal.substr(0, 200));
    if (texts[0].empty() || texts[0] != texts[1] || texts[0] != texts[2]) return 2;
    return NodeWindow::create(node, {.control = 0, .slice = 4096}).window ? 0 : 3;
  });
  for (int r = 0; r < 3; ++r) EXPECT_EQ(group.wait(r), 0) << "child " << r;
}

TEST(NodeWindow, NothingIsLeftWhenProcessesDieInBetween) {
  ASSERT_EQ(leftovers(), 0);
  // One dies before it maps the memory; the others, who wait for its answer for ever, are killed.
  ForkGroup group(3, [](const NodeGroup& node) {
    auto mine = node;
    int calls = 0;
    mine.exchange = [&](const std::string& text) {
      if (++calls == 2 && node.rank == 2) ::kill(::getpid(), SIGKILL);
      return node.exchange(text);
    };
    NodeWindow::create(mine, {.control = 64, .slice = 1 << 20});
    return 0;
  });
  EXPECT_EQ(group.wait(2), 1000 + SIGKILL);
  group.kill(0);
  group.kill(1);
  EXPECT_EQ(group.wait(0), 1000 + SIGKILL);
  EXPECT_EQ(group.wait(1), 1000 + SIGKILL);
  EXPECT_EQ(leftovers(), 0);
}

std::unique_ptr<NodeSync> connect(const NodeGroup& node, std::shared_ptr<NodeWindow>& window) {
  window = NodeWindow::create(node, {.control = NodeSync::bytes(node.size), .slice = 4096}).window;
  auto sync = std::make_unique<NodeSync>(window->control(), node);
  node.exchange("connected");
  return sync;
}

TEST(NodeSync, NobodyPassesBeforeAllHaveCome) {
  ForkGroup group(4, [](const NodeGroup& node) {
    std::shared_ptr<NodeWindow> window;
    const auto sync = connect(node, window);
    auto* steps = reinterpret_cast<std::atomic<int>*>(window->slice(0));
    for (int step = 1; step <= 300; ++step) {
      steps[node.rank].store(step);
      sync->publish(Counter::filled);
      sync->wait(Counter::filled, static_cast<std::uint32_t>(step));
      for (int r = 0; r < node.size; ++r) {
        if (steps[r].load() < step) return 1;
      }
    }
    node.exchange("end");
    return 0;
  });
  for (int r = 0; r < 4; ++r) EXPECT_EQ(group.wait(r), 0) << "child " << r;
}

TEST(NodeSync, ADeadProcessIsNoticedByAllThatWaitAndNamed) {
  const auto start = std::chrono::steady_clock::now();
  ForkGroup group(3, [](const NodeGroup& node) {
    std::shared_ptr<NodeWindow> window;
    const auto sync = connect(node, window);
    if (node.rank == 1) ::kill(::getpid(), SIGKILL);
    sync->publish(Counter::filled);
    try {
      sync->wait(Counter::filled, 1);
    } catch (const Error& error) {
      const std::string text = error.what();
      const bool named = text.find("rank 1 on host here") == 0 && text.find("died") != std::string::npos;
      return error.code() == ExitCode::peer_lost && named ? 0 : 2;
    }
    return 1;
  });
  EXPECT_EQ(group.wait(1), 1000 + SIGKILL);
  EXPECT_EQ(group.wait(0), 0);
  EXPECT_EQ(group.wait(2), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(NodeSync, AProcessThatLeavesIsNoticedWhileItStillRuns) {
  ForkGroup group(2, [](const NodeGroup& node) {
    std::shared_ptr<NodeWindow> window;
    auto sync = connect(node, window);
    if (node.rank == 1) {
      sync.reset();
      node.exchange("left");
      return 0;
    }
    try {
      sync->wait(Counter::filled, 1);
    } catch (const Error& error) {
      node.exchange("noticed");
      return std::string(error.what()).find("left") != std::string::npos ? 0 : 2;
    }
    return 1;
  });
  EXPECT_EQ(group.wait(0), 0);
  EXPECT_EQ(group.wait(1), 0);
}

TEST(NodeSync, AProcessThatEndedAfterItsPartIsNotMissed) {
  ForkGroup group(2, [](const NodeGroup& node) {
    std::shared_ptr<NodeWindow> window;
    const auto sync = connect(node, window);
    sync->publish(Counter::filled);
    if (node.rank == 1) return 0;
    sync->wait(Counter::filled, 1);
    return 0;
  });
  EXPECT_EQ(group.wait(1), 0);
  EXPECT_EQ(group.wait(0), 0);
}

TEST(NodeSync, DifferentOperationsAreNamed) {
  ForkGroup group(2, [](const NodeGroup& node) {
    std::shared_ptr<NodeWindow> window;
    const auto sync = connect(node, window);
    NodeOperation operation;
    operation.count = node.rank == 0 ? 10 : 11;
    sync->describe(operation);
    sync->publish(Counter::filled);
    sync->wait(Counter::filled, 1);
    int status = 1;
    try {
      sync->check_same(operation);
    } catch (const Error& error) {
      const std::string text = error.what();
      const bool named = text.find("x 10") != std::string::npos && text.find("x 11") != std::string::npos;
      status = error.code() == ExitCode::disagree && named ? 0 : 2;
    }
    node.exchange("compared");
    return status;
  });
  EXPECT_EQ(group.wait(0), 0);
  EXPECT_EQ(group.wait(1), 0);
}

}  // namespace
}  // namespace trireme
