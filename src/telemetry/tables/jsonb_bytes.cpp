// Writing jsonb; see the header. Any process that takes telemetry.
#include "telemetry/tables/jsonb_bytes.hpp"

#include "telemetry/otlp/base64_bytes.hpp"
#include "telemetry/tables/numeric_bytes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace dbnet::telemetry {
namespace {

// An entry says a value's type and its length or, every 32 entries, where it ends.
constexpr uint32_t entry_string = 0x00000000, entry_numeric = 0x10000000, entry_false = 0x20000000,
                   entry_true = 0x30000000, entry_null = 0x40000000, entry_container = 0x50000000,
                   entry_types = 0x70000000, entry_has_offset = 0x80000000, entry_lengths = 0x0FFFFFFF;
constexpr uint32_t header_scalar = 0x10000000, header_object = 0x20000000, header_array = 0x40000000;
constexpr uint32_t offset_stride = 32;
constexpr size_t varlena_header = 4;

alignas(Arena::alignment) constexpr uint32_t empty_object_words[] = {8 << 2, header_object};

void put_word(char *at, uint32_t word) noexcept {
    std::memcpy(at, &word, sizeof word);
}

} // namespace

const Jsonb empty_object = reinterpret_cast<Jsonb>(empty_object_words);

size_t jsonb_size(Jsonb jsonb) noexcept {
    uint32_t header;
    std::memcpy(&header, jsonb, sizeof header);
    return header >> 2;
}

JsonbBuilder::Node &JsonbBuilder::add(Type type) {
    if (nodes_.size() >= most_values) {
        overflowed_ = true;
        return surplus_;
    }
    Node &node = nodes_.emplace_back();
    node.type = type;
    node.key = nullptr;
    node.key_size = 0;
    node.end = position();
    return node;
}

void JsonbBuilder::floating(double value) {
    if (std::isfinite(value))
        add(Type::floating).floating = value;
    else
        string(std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

std::string_view JsonbBuilder::find_string(std::string_view key) const noexcept {
    std::string_view found;
    for (size_t at = 0; at < nodes_.size();) {
        const Node &node = nodes_[at];
        if (std::string_view(node.key, node.key_size) == key)
            found = node.type == Type::string ? std::string_view(node.text, node.text_size) : std::string_view();
        at = node.type >= Type::array ? node.end : at + 1;
    }
    return found;
}

// Writes one value after the other; nothing is known of a container's size before.
struct JsonbBuilder::Writer {
    const std::vector<Node> &nodes;
    std::vector<uint32_t> &sorted;
    const char *start; // of the whole
    char *at;

    void pad() noexcept {
        while ((at - start) % 4 != 0)
            *at++ = 0;
    }

    uint32_t next_of(uint32_t position) const noexcept {
        const Node &node = nodes[position];
        return node.type >= Type::array ? node.end : position + 1;
    }

    // Shorter names first, then by their bytes; the values of one name in the order of the document.
    bool is_before(uint32_t left, uint32_t right) const noexcept {
        const Node &a = nodes[left], &b = nodes[right];
        if (a.key_size != b.key_size)
            return a.key_size < b.key_size;
        const int order = a.key_size == 0 ? 0 : std::memcmp(a.key, b.key, a.key_size);
        return order != 0 ? order < 0 : left < right;
    }
    bool has_same_name(uint32_t left, uint32_t right) const noexcept {
        const Node &a = nodes[left], &b = nodes[right];
        return a.key_size == b.key_size && (a.key_size == 0 || std::memcmp(a.key, b.key, a.key_size) == 0);
    }

    // Collects the members from `first` to `end` at the end of `sorted`, each name once: its last value.
    void sort_members(uint32_t first, uint32_t end) {
        const auto from = static_cast<ptrdiff_t>(sorted.size());
        for (uint32_t child = first; child < end; child = next_of(child))
            sorted.push_back(child);
        std::sort(sorted.begin() + from, sorted.end(), [this](uint32_t a, uint32_t b) { return is_before(a, b); });
        auto kept = sorted.begin() + from;
        for (auto member = kept; member != sorted.end(); ++member) {
            if (member + 1 == sorted.end() || !has_same_name(*member, member[1]))
                *kept++ = *member;
        }
        sorted.erase(kept, sorted.end());
    }

    // Entries of a container; `total` counts the bytes of its values.
    struct Entries {
        char *at;
        uint32_t count = 0, total = 0;

        void add(uint32_t entry) noexcept {
            total += entry & entry_lengths;
            put_word(at + count * 4,
                     count % offset_stride == 0 ? (entry & entry_types) | total | entry_has_offset : entry);
            ++count;
        }
    };
    Entries open(uint32_t header, uint32_t entries) noexcept {
        pad();
        put_word(at, header);
        Entries opened{at + 4};
        at += 4 + entries * 4;
        return opened;
    }

    uint32_t write_object(uint32_t first, uint32_t end) {
        const char *const before = at;
        const size_t from = sorted.size();
        sort_members(first, end);
        const auto count = static_cast<uint32_t>(sorted.size() - from);
        Entries entries = open(header_object | count, count * 2);
        for (size_t i = 0; i < count; ++i) {
            const Node &member = nodes[sorted[from + i]];
            if (member.key_size > 0)
                std::memcpy(at, member.key, member.key_size);
            at += member.key_size;
            entries.add(entry_string | member.key_size);
        }
        for (size_t i = 0; i < count; ++i)
            entries.add(write(sorted[from + i]));
        sorted.resize(from);
        return entry_container | static_cast<uint32_t>(at - before);
    }

    uint32_t write_array(uint32_t first, uint32_t end, uint32_t flags = 0) {
        const char *const before = at;
        uint32_t count = 0;
        for (uint32_t child = first; child < end; child = next_of(child))
            ++count;
        Entries entries = open(header_array | flags | count, count);
        for (uint32_t child = first; child < end; child = next_of(child))
            entries.add(write(child));
        return entry_container | static_cast<uint32_t>(at - before);
    }

    template<class Number> uint32_t write_numeric(Number value) noexcept {
        const char *const before = at;
        pad();
        at += put_numeric(at, value);
        return entry_numeric | static_cast<uint32_t>(at - before);
    }

    uint32_t write(uint32_t position) {
        const Node &node = nodes[position];
        const char *const before = at;
        switch (node.type) {
        case Type::null:
            return entry_null;
        case Type::no:
            return entry_false;
        case Type::yes:
            return entry_true;
        case Type::integer:
            return write_numeric(node.integer);
        case Type::unsigned_integer:
            return write_numeric(node.unsigned_integer);
        case Type::floating:
            return write_numeric(node.floating);
        case Type::string:
            if (node.text_size > 0)
                std::memcpy(at, node.text, node.text_size);
            at += node.text_size;
            break;
        case Type::bytes:
            at = put_base64(at, {node.text, node.text_size});
            break;
        case Type::array:
            return write_array(position + 1, node.end);
        case Type::object:
            return write_object(position + 1, node.end);
        }
        return entry_string | static_cast<uint32_t>(at - before);
    }
};

Jsonb JsonbBuilder::finish(Root root, Arena &arena) {
    if (overflowed_)
        return nullptr;
    if (nodes_.empty() && root == Root::object)
        return empty_object;
    // At most: two entries, header and padding of each value, a number, its texts.
    size_t room = varlena_header + 8;
    for (const Node &node : nodes_) {
        room += 16 + node.key_size;
        if (node.type == Type::string)
            room += node.text_size;
        else if (node.type == Type::bytes)
            room += base64_size(node.text_size);
        else if (node.type >= Type::integer && node.type <= Type::floating)
            room += numeric_room;
    }
    if (room > entry_lengths)
        return nullptr;
    char *const start = arena.allocate(room);
    Writer writer{nodes_, sorted_, start, start + varlena_header};
    const uint32_t end = position();
    if (root == Root::object)
        writer.write_object(0, end);
    else if (root == Root::array)
        writer.write_array(0, end);
    else if (nodes_[0].type < Type::array)
        writer.write_array(0, end, header_scalar); // how a jsonb holds what is no container
    else
        writer.write(0);
    put_word(start, static_cast<uint32_t>(writer.at - start) << 2);
    arena.give_back(writer.at);
    return start;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
