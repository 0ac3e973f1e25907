// Builds jsonb as PostgreSQL stores it (utils/jsonb.h), straight from decoded values: by way of text it takes ten times
// as long. Byte-equal to what jsonb_in makes of the same document. Pure C++.
#pragma once

#include "telemetry/batch.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace dbnet::telemetry {

// Values are appended in the order of the document. One that belongs to an object gets its name when it is there, and
// one that a later one replaces is taken back with rewind(): OTLP may send the name last and a value twice. Texts are
// views, valid UTF-8 without U+0000, and must live until the value is finished.
class JsonbBuilder {
public:
    // Values in one record, however nested: what a crafted body may make us hold. Elements of one jsonb may be more.
    static constexpr uint32_t most_values = 1'000'000;

    void clear() noexcept {
        nodes_.clear();
        overflowed_ = false;
    }

    uint32_t position() const noexcept { return static_cast<uint32_t>(nodes_.size()); } // of the next value
    void rewind(uint32_t position) noexcept {
        if (position < nodes_.size())
            nodes_.erase(nodes_.begin() + position, nodes_.end());
    }
    bool is_empty() const noexcept { return nodes_.empty(); }

    void null() { add(Type::null); }
    void boolean(bool value) { add(value ? Type::yes : Type::no); }
    void integer(int64_t value) { add(Type::integer).integer = value; }
    void unsigned_integer(uint64_t value) { add(Type::unsigned_integer).unsigned_integer = value; }
    void floating(double value); // NaN and infinities become strings
    void string(std::string_view value) { set_text(add(Type::string), value); }
    void bytes(std::string_view value) { set_text(add(Type::bytes), value); } // a string, base64
    // The values that follow belong to it until close(); an object's are named.
    void open_array() { add(Type::array); }
    void open_object() { add(Type::object); }
    void close(uint32_t position) noexcept {
        if (position < nodes_.size())
            nodes_[position].end = this->position();
    }
    void name(uint32_t position, std::string_view key) noexcept {
        if (position < nodes_.size()) {
            nodes_[position].key = key.data();
            nodes_[position].key_size = static_cast<uint32_t>(key.size());
        }
    }

    // All values as members of one object, as elements of one array, or the only one. nullptr: a jsonb cannot hold it.
    Jsonb finish_object(Arena &arena) { return finish(Root::object, arena); }
    Jsonb finish_array(Arena &arena) { return finish(Root::array, arena); }
    Jsonb finish_value(Arena &arena) { return finish(Root::value, arena); }

    // The string of that name on the first level; empty when there is none or it is no string.
    std::string_view find_string(std::string_view key) const noexcept;

private:
    enum class Type : uint8_t { null, no, yes, integer, unsigned_integer, floating, string, bytes, array, object };

    struct Node {
        union {
            const char *text;
            int64_t integer;
            uint64_t unsigned_integer;
            double floating;
        };
        const char *key;
        uint32_t key_size;
        union {
            uint32_t text_size;
            uint32_t end; // of a container: the position after its last value
        };
        Type type;
    };
    struct Writer;

    Node &add(Type type);
    static void set_text(Node &node, std::string_view value) noexcept {
        node.text = value.data();
        node.text_size = static_cast<uint32_t>(value.size());
    }
    enum class Root : uint8_t { object, array, value };
    Jsonb finish(Root root, Arena &arena);

    std::vector<Node> nodes_;      // of a container: before its values
    std::vector<uint32_t> sorted_; // members of the objects under way
    bool overflowed_ = false;
    Node surplus_; // takes what is too much
};

// What a jsonb takes in memory, its header included.
size_t jsonb_size(Jsonb jsonb) noexcept;
inline std::string_view jsonb_bytes(Jsonb jsonb) noexcept {
    return {jsonb, jsonb_size(jsonb)};
}

extern const Jsonb empty_object; // {}

} // namespace dbnet::telemetry
