// Encoding and decoding of the payload of DBNet's WAL messages. Pure C++; runs in backends and in the mirror worker.
//
// version (1 byte) | cookie (16) | role (4) | provenance (8) | change…
// change: relation (4) | operation (1) | event (4) | namespace length (2), bytes | name length (2), bytes
// event: of the row's new version, minus provenance
// Numbers are in the byte order of the machine: a payload never leaves the server that wrote it.
#include "capture/message.hpp"

#include <cstring>
#include <set>
#include <utility>

namespace dbnet::capture {
namespace {

constexpr std::uint8_t version = 2;
constexpr std::size_t header_size = 1 + std::tuple_size_v<Cookie> + sizeof(Header::role) + sizeof(Header::provenance);
constexpr std::string_view operations = "IUDACOS";

template<typename Number> void put(std::string &bytes, Number value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes.append(raw, sizeof raw);
}

void put_text(std::string &bytes, std::string_view text) {
    put(bytes, static_cast<std::uint16_t>(text.size()));
    bytes.append(text);
}

class Reader {
public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}

    bool done() const { return rest_.empty(); }

    template<typename Number> bool get(Number &value) {
        if (rest_.size() < sizeof value)
            return false;
        std::memcpy(&value, rest_.data(), sizeof value);
        rest_.remove_prefix(sizeof value);
        return true;
    }

    bool get_text(std::string &text) {
        std::uint16_t size = 0;
        if (!get(size) || size > key_part_size || rest_.size() < size)
            return false;
        text.assign(rest_.substr(0, size));
        rest_.remove_prefix(size);
        return true;
    }

private:
    std::string_view rest_;
};

bool get_change(Reader &reader, std::uint64_t provenance, Change &change) {
    std::uint32_t number = 0;
    if (!reader.get(change.relation) || !reader.get(change.operation) || !reader.get(number) ||
        !reader.get_text(change.name_space) || !reader.get_text(change.name))
        return false;
    change.event = provenance + number;
    return operations.find(change.operation) != operations.npos;
}

} // namespace

Encoder::Encoder(const Header &header) : header_size_(header_size) {
    put(bytes_, version);
    put(bytes_, header.cookie);
    put(bytes_, header.role);
    put(bytes_, header.provenance);
}

void Encoder::add(const ChangeView &change) {
    const bool whole = change.name_space.size() > key_part_size || change.name.size() > key_part_size;
    put(bytes_, change.relation);
    put(bytes_, whole ? 'C' : change.operation);
    put(bytes_, whole ? 0 : change.event);
    put_text(bytes_, whole ? std::string_view() : change.name_space);
    put_text(bytes_, whole ? std::string_view() : change.name);
}

std::string Encoder::take() {
    std::string next = bytes_.substr(0, header_size_);
    bytes_.swap(next);
    return next;
}

std::string encode(const Header &header, std::span<const Change> changes) {
    Encoder encoder(header);
    for (const Change &change : changes)
        encoder.add({change.relation, change.operation, change.name_space, change.name,
                     static_cast<std::uint32_t>(change.event - header.provenance)});
    return encoder.take();
}

std::optional<Message> decode(std::string_view bytes, const Cookie &cookie) {
    Reader reader(bytes);
    std::uint8_t found_version = 0;
    Cookie found_cookie{};
    Message message;
    if (!reader.get(found_version) || found_version != version || !reader.get(found_cookie) || found_cookie != cookie ||
        !reader.get(message.role) || !reader.get(message.provenance))
        return std::nullopt;
    while (!reader.done())
        if (!get_change(reader, message.provenance, message.changes.emplace_back()))
            return std::nullopt;
    return message;
}

std::vector<Change> shrunk(std::span<const Change> changes) {
    std::set<std::pair<char, std::uint32_t>> seen;
    std::vector<Change> left;
    for (const Change &change : changes) {
        const bool is_kept = change.operation == 'O' || change.operation == 'S';
        const char operation = is_kept ? change.operation : 'C';
        if (seen.emplace(operation, change.relation).second)
            left.push_back({change.relation, operation, {}, {}, 0, change.role});
    }
    return left;
}

} // namespace dbnet::capture

#include "pg/no_postgres.hpp"
