// Cuts lists into items; see the header. Runs in the mirror worker.
#include "kubernetes/list.hpp"

#include "kubernetes/json_access.hpp"

#include <utility>

namespace dbnet::kubernetes {
namespace {

std::optional<ListHead> head_of(const nlohmann::json &document) {
    const nlohmann::json *metadata = member(&document, "metadata");
    ListHead head;
    head.resource_version = text_member(metadata, "resourceVersion");
    if (head.resource_version.empty())
        return std::nullopt;
    head.continue_token = text_member(metadata, "continue");
    head.remaining = integer_member(metadata, "remainingItemCount", -1);
    return head;
}

} // namespace

// Only brackets and strings are looked at here: what is inside is read by the JSON parser, item by item.
void ListReader::push(std::string_view bytes, const ItemHandler &on_item) {
    size_t item_begin = 0; // in bytes, of the item that is being read
    for (size_t at = 0; at < bytes.size(); ++at) {
        const char c = bytes[at];
        if (place_ != Place::item) {
            if (place_ == Place::items && !in_string_ && c == '{') {
                place_ = Place::item;
                item_begin = at;
                ++depth_;
            } else {
                take(c);
            }
            continue;
        }
        if (in_string_) {
            if (escaped_) {
                escaped_ = false;
                continue;
            }
            while (at < bytes.size() && bytes[at] != '"' && bytes[at] != '\\')
                ++at;
            if (at < bytes.size())
                (bytes[at] == '"' ? in_string_ : escaped_) ^= true;
        } else if (c == '"') {
            in_string_ = true;
        } else if (c == '{' || c == '[') {
            ++depth_;
        } else if ((c == '}' || c == ']') && --depth_ == 2) {
            place_ = Place::items;
            const std::string_view rest = bytes.substr(item_begin, at + 1 - item_begin);
            if (item_.empty()) {
                on_item(rest);
            } else {
                item_.append(rest);
                const std::string item = std::exchange(item_, {});
                on_item(item);
            }
        }
    }
    if (place_ != Place::item)
        return;
    item_.append(bytes.substr(item_begin));
    if (item_.size() > limits_.item_bytes)
        throw Failure("the server's list holds an object of more than " + std::to_string(limits_.item_bytes) +
                      " bytes");
}

// One character around the items.
void ListReader::take(char c) {
    if (place_ == Place::items) {
        if (c == ']') {
            place_ = Place::frame;
        } else {
            if (c != ',' && c != ' ' && c != '\n' && c != '\r' && c != '\t')
                throw Failure("the server's list holds something that is no object");
            return;
        }
    }
    if (frame_.size() >= limits_.frame_bytes)
        throw Failure("the server's answer is no list: " + frame_.substr(0, 200));
    frame_ += c;
    if (in_string_) {
        if (escaped_)
            escaped_ = false;
        else if (c == '\\')
            escaped_ = true;
        else if (c == '"') {
            in_string_ = false;
            string_size_ = frame_.size() - 1 - string_at_;
        }
        return;
    }
    switch (c) {
    case '"':
        in_string_ = true;
        string_at_ = frame_.size();
        break;
    case ':':
        if (depth_ == 1)
            is_items_ = frame_.compare(string_at_, string_size_, "items") == 0;
        break;
    case '[':
        ++depth_;
        if (depth_ == 2 && is_items_)
            begin_items();
        break;
    case '{':
        ++depth_;
        break;
    case '}':
    case ']':
        --depth_;
        break;
    case ',':
        if (depth_ == 1)
            is_items_ = false;
        break;
    default:
        break;
    }
}

void ListReader::begin_items() {
    place_ = Place::items;
    if (!head_)
        head_ = head_of(parse_json(frame_ + "]}"));
}

const ListHead &ListReader::finish() {
    const nlohmann::json document = parse_json(frame_);
    const auto items = document.is_object() ? document.find("items") : document.end();
    if (place_ == Place::frame && document.is_object() &&
        (items == document.end() || items->is_array() || items->is_null())) // null when there are none
        head_ = head_of(document);
    else
        head_.reset();
    if (!head_)
        throw Failure("the server's answer is no list: " + frame_.substr(0, 200));
    return *head_;
}

nlohmann::json parse_item(std::string_view text, const Resource &resource) {
    nlohmann::json item = parse_json(text);
    if (text_member(member(&item, "metadata"), "name").empty())
        throw Failure("the server's list of " + resource.plural + " holds something without a name");
    item["apiVersion"] = resource.api_version();
    item["kind"] = resource.kind;
    return item;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
