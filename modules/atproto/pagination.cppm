// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>
export module latchkey.atproto.pagination;
import latchkey.core.error;

// All items of a list that a server gives page by page, as one C++20 range.

export namespace latchkey {

/// What a server gives at once. An empty cursor: no more.
template <class T>
struct Page {
  std::vector<T> items;
  std::string cursor;
};

/// Finds out a server that goes round in circles or gives nothing, and keeps little of what it
/// says. One that makes up ever more items is not found out: whoever walks leaves when he has
/// enough. Not thread-safe.
class PageGuard {
 public:
  /// To be told of each page. Errors: invalid_response, "page.cursor_again" (a cursor that was
  /// there before), "page.cursor_long" (of more than 8 KiB), "page.empty_pages" (100 pages without
  /// an item in a row).
  [[nodiscard]] Result<void> saw(const std::string& cursor, std::size_t items);

 private:
  std::unordered_set<std::size_t> cursors_;  // their hashes
  std::size_t empty_ = 0;
};

/// An input range of Result<T>, walked through once. A page is asked for when its first item is
/// wanted, so that the walk may block, and may be left at any time. The first error, of `fetch` or
/// of PageGuard, is the last item. Not thread-safe.
template <class T>
class PagedRange {
 public:
  /// Gets an empty cursor for the first page.
  using Fetch = std::function<Result<Page<T>>(const std::string& cursor)>;

  explicit PagedRange(Fetch fetch) : fetch_(std::move(fetch)) {}

  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = Result<T>;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    explicit Iterator(PagedRange& range) : range_(&range) {}
    [[nodiscard]] Result<T>& operator*() const { return *range_->current_; }
    [[nodiscard]] Result<T>* operator->() const { return &*range_->current_; }
    Iterator& operator++() {
      range_->advance();
      return *this;
    }
    void operator++(int) { range_->advance(); }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const {
      return !range_->current_.has_value();
    }

   private:
    PagedRange* range_ = nullptr;
  };

  /// Once; the range must outlive it and stay where it is.
  [[nodiscard]] Iterator begin() {
    advance();
    return Iterator(*this);
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  void advance() {
    current_.reset();
    while (next_ == page_.items.size() && !is_over_) read_page();
    if (next_ < page_.items.size()) {
      current_.emplace(std::move(page_.items[next_++]));
    } else if (error_) {
      current_.emplace(*std::exchange(error_, std::nullopt));
    }
  }

  // Leaves an empty page and the error behind if there is one.
  void read_page() {
    next_ = 0;
    auto page = fetch_(page_.cursor);
    page_ = {};
    if (!page) return fail(std::move(page).error());
    if (auto sane = guard_.saw(page->cursor, page->items.size()); !sane)
      return fail(std::move(sane).error());
    page_ = *std::move(page);
    is_over_ = page_.cursor.empty();
  }

  void fail(Error error) {
    error_ = std::move(error);
    is_over_ = true;
  }

  Fetch fetch_;
  PageGuard guard_;
  Page<T> page_;
  std::size_t next_ = 0;
  bool is_over_ = false;
  std::optional<Error> error_;
  std::optional<Result<T>> current_;
};

}  // namespace latchkey
