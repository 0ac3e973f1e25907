// A page of a list, read while it arrives: its items are cut out one by one and what is around them is kept, so that a
// page takes the memory of one item, however many it has. Items of a list carry neither apiVersion nor kind; they are
// filled in. Used by the mirror worker.
#pragma once

#include "kubernetes/api.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

struct ListHead {
    std::string resource_version; // of the list: where a watch starts; the same on every page
    std::string continue_token;   // "" on the last page, even when a page before it had no items
    int64_t remaining = -1;       // items on later pages as the server estimates; -1: not said
};

class ListReader {
public:
    using ItemHandler = std::function<void(std::string_view item)>; // JSON text, valid during the call only

    struct Limits {
        size_t item_bytes = 16 * 1024 * 1024;
        size_t frame_bytes = 1024 * 1024; // of everything that is no item
    };
    explicit ListReader(Limits limits) : limits_(limits) {}
    ListReader() : ListReader(Limits{}) {}

    // Takes more bytes of the body; calls `on_item` for every item that they complete. Throws Failure when this is no
    // list, and what on_item throws; nothing more can be read then.
    void push(std::string_view bytes, const ItemHandler &on_item);

    // What the list says of itself, once it is known. Most servers write it before the items; those of custom resources
    // write it after them.
    const std::optional<ListHead> &head() const noexcept { return head_; }

    // After the last byte. Throws Failure when the body was no list or not whole.
    const ListHead &finish();

private:
    enum class Place { frame, items, item };
    void take(char c);
    void begin_items();

    Limits limits_;
    std::string frame_; // the document with an empty list of items
    std::string item_;  // beginning of an item whose end has not arrived
    std::optional<ListHead> head_;
    Place place_ = Place::frame;
    int depth_ = 0; // of open objects and lists
    bool in_string_ = false;
    bool escaped_ = false;
    size_t string_at_ = 0; // in frame_: the last string's begin and length
    size_t string_size_ = 0;
    bool is_items_ = false; // the member that is being read at depth 1
};

// One item as an object of its kind. Throws Failure when it is none or has no name.
nlohmann::json parse_item(std::string_view item, const Resource &resource);

} // namespace dbnet::kubernetes
