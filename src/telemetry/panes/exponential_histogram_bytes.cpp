// The bytes of a sketch: version, scale, zeros, then of positive and negative values the number of buckets, the index
// of the first and each one's count. Numbers are varints, signed ones zigzag. One text for one sketch. Any process.
#include "telemetry/panes/exponential_histogram.hpp"

namespace dbnet::telemetry {
namespace {

constexpr char version = 1;

void put(std::string &bytes, uint64_t number) {
    for (; number >= 0x80; number >>= 7)
        bytes += static_cast<char>(number | 0x80);
    bytes += static_cast<char>(number);
}

void put_signed(std::string &bytes, int64_t number) {
    put(bytes, static_cast<uint64_t>(number) << 1 ^ static_cast<uint64_t>(number >> 63));
}

// The shortest form only.
bool take(std::string_view &bytes, uint64_t &number) {
    number = 0;
    for (size_t at = 0; at < bytes.size() && at < 10; ++at) {
        const auto byte = static_cast<unsigned char>(bytes[at]);
        if (at == 9 && byte > 1)
            return false;
        number |= static_cast<uint64_t>(byte & 0x7F) << (7 * at);
        if (byte < 0x80) {
            bytes.remove_prefix(at + 1);
            return byte != 0 || at == 0;
        }
    }
    return false;
}

bool take_signed(std::string_view &bytes, int64_t &number) {
    uint64_t zigzag;
    if (!take(bytes, zigzag))
        return false;
    number = static_cast<int64_t>(zigzag >> 1 ^ (0 - (zigzag & 1)));
    return true;
}

bool add_up(uint64_t &total, uint64_t count) {
    total += count;
    return total >= count;
}

} // namespace

std::string ExponentialHistogram::serialize() const {
    std::string bytes(1, version);
    put_signed(bytes, scale_);
    put(bytes, zeros_);
    for (const Buckets *buckets : {&positive_, &negative_}) {
        put(bytes, buckets->counts.size());
        if (buckets->counts.empty())
            continue;
        put_signed(bytes, buckets->offset);
        for (const uint64_t count : buckets->counts)
            put(bytes, count);
    }
    return bytes;
}

bool ExponentialHistogram::parse(std::string_view &bytes, int scale, Buckets &buckets, uint64_t &total) {
    uint64_t size;
    if (!take(bytes, size) || size > most_buckets)
        return false;
    if (size == 0)
        return true;
    int64_t offset;
    if (!take_signed(bytes, offset) || offset < first_index(scale) ||
        offset > last_index(scale) - static_cast<int64_t>(size) + 1)
        return false;
    buckets.offset = static_cast<int32_t>(offset);
    buckets.counts.resize(size);
    for (uint64_t &count : buckets.counts)
        if (!take(bytes, count) || !add_up(total, count))
            return false;
    return buckets.counts.front() > 0 && buckets.counts.back() > 0;
}

bool ExponentialHistogram::parse(std::string_view bytes) {
    ExponentialHistogram parsed;
    int64_t scale;
    if (!bytes.starts_with(version))
        return false;
    bytes.remove_prefix(1);
    if (!take_signed(bytes, scale) || scale < lowest_scale || scale > highest_scale || !take(bytes, parsed.zeros_))
        return false;
    parsed.scale_ = static_cast<int>(scale);
    parsed.count_ = parsed.zeros_;
    if (!parse(bytes, parsed.scale_, parsed.positive_, parsed.count_) ||
        !parse(bytes, parsed.scale_, parsed.negative_, parsed.count_) || !bytes.empty())
        return false;
    *this = std::move(parsed);
    return true;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
