// The payload of DBNet's WAL messages: which rows of which mirrors a transaction changed.
// Pure C++. Written by backends at commit, read by the mirror worker from the WAL.
//
// Anybody may write a WAL message with our prefix (pg_logical_emit_message is PUBLIC), so a payload counts only when it
// carries the cookie of this server start, and the decoder trusts no length in it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::capture {

// Prefix of our WAL messages.
inline constexpr char message_prefix[] = "dbnet";

// A payload is closed when it reaches this size, in bytes; a transaction that changes more writes several.
inline constexpr std::size_t message_size = 64 * 1024;

// Longest namespace or name that is carried, in bytes. No server accepts names of more than 253; a change of a longer
// one is carried as a compare of its relation.
inline constexpr std::size_t key_part_size = 1024;

using Cookie = std::array<std::uint8_t, 16>; // random, made at server start, known to backends only

struct Change {
    std::uint32_t relation = 0; // oid of the mirror, or of the configuration table for 'S'
    // I insert, U update, D delete, A the row is as it was and is to be looked at again, C compare the whole mirror, O
    // operations are asked for or given up, S configuration changed
    char operation = 0;
    std::string name_space;  // empty: cluster-scoped, and for C, O and S
    std::string name;        // empty for C, O and S
    std::uint64_t event = 0; // id of the row's new version, or of the transaction if there is none; 0: not recorded
    std::uint32_t role = 0;  // who made it, as its message says

    bool operator==(const Change &) const = default;
};

// A change that borrows its strings, for the way into the WAL.
struct ChangeView {
    std::uint32_t relation = 0;
    char operation = 0;
    std::string_view name_space;
    std::string_view name;
    std::uint32_t event = 0; // number of the row's new version within its transaction (see recorder.hpp); 0: none
    std::uint32_t role = 0;  // who makes it
};

struct Header {
    Cookie cookie{};
    std::uint32_t role = 0;       // oid of the role that made the changes
    std::uint64_t provenance = 0; // event id of the transaction; 0: nothing is recorded
};

struct Message {
    std::uint32_t role = 0;
    std::uint64_t provenance = 0;
    std::vector<Change> changes;

    bool operator==(const Message &) const = default;
};

// Writes one payload after another. add() is repeated until full() says that the payload should go out; take() hands
// it over and starts the next one. Throws std::bad_alloc.
class Encoder {
public:
    explicit Encoder(const Header &header);

    void add(const ChangeView &change);
    bool empty() const { return bytes_.size() == header_size_; }
    bool full() const { return bytes_.size() >= message_size; }
    std::string take();

private:
    std::string bytes_;
    std::size_t header_size_;
};

// The whole list in one payload.
std::string encode(const Header &header, std::span<const Change> changes);

// std::nullopt: not ours (other cookie, other version) or damaged.
std::optional<Message> decode(std::string_view bytes, const Cookie &cookie);

// What remains of changes when there is no room for them: one 'C' per relation, and every 'O' and 'S'.
std::vector<Change> shrunk(std::span<const Change> changes);

} // namespace dbnet::capture
