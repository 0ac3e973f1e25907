// Inflating bodies; see the header. Any process that takes telemetry.
#include "telemetry/otlp/inflate.hpp"

#include <libdeflate.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <new>

namespace dbnet::telemetry {
namespace {

// Room grows from what the packed size makes likely, so that a small body that claims nothing gets no big buffer.
constexpr size_t least_room = 16 * 1024;

size_t first_room(size_t packed, size_t limit) {
    return std::min(limit, std::max(least_room, packed * 8));
}

libdeflate_decompressor *decompressor() {
    static libdeflate_decompressor *const shared = libdeflate_alloc_decompressor(); // lives as long as the process
    if (shared == nullptr)
        throw std::bad_alloc();
    return shared;
}

} // namespace

// libdeflate wants all of the output at once and says when it had too little room; a member is then inflated again.
Inflated inflate_gzip(std::string_view packed, size_t limit, std::string &plain) {
    size_t done = 0;
    plain.resize(first_room(packed.size(), limit));
    do {
        size_t read = 0, written = 0;
        const libdeflate_result result = libdeflate_gzip_decompress_ex(
            decompressor(), packed.data(), packed.size(), plain.data() + done, plain.size() - done, &read, &written);
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            if (plain.size() >= limit)
                return Inflated::too_large;
            plain.resize(std::min(limit, std::max(plain.size() * 2, least_room)));
            continue;
        }
        if (result != LIBDEFLATE_SUCCESS)
            return Inflated::broken;
        done += written;
        packed.remove_prefix(read);
    } while (!packed.empty());
    plain.resize(done);
    return Inflated::ok;
}

Inflated inflate_zstd(std::string_view packed, size_t limit, std::string &plain) {
    constexpr int largest_window = 23; // 8 MiB, what RFC 8878 asks every decoder of HTTP bodies to have
    const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream *)> stream(ZSTD_createDStream(), ZSTD_freeDStream);
    if (!stream)
        throw std::bad_alloc();
    ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, largest_window);
    plain.resize(first_room(packed.size(), limit));
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    ZSTD_outBuffer out{plain.data(), plain.size(), 0};
    size_t left = 1; // of the frame; 0 at its end
    while (in.pos < in.size || left > 0) {
        const size_t read = in.pos, written = out.pos;
        left = ZSTD_decompressStream(stream.get(), &out, &in);
        if (ZSTD_isError(left))
            return Inflated::broken;
        if (out.pos == out.size && left > 0) {
            if (out.size >= limit) {
                // Full: a frame of exactly the limit still has its end to read, which needs no room.
                if (in.pos == read && out.pos == written)
                    return Inflated::too_large;
                continue;
            }
            plain.resize(std::min(limit, std::max(plain.size() * 2, least_room)));
            out = {plain.data(), plain.size(), out.pos};
        } else if (in.pos == read && out.pos == written && left > 0) {
            return Inflated::broken; // cut off
        }
    }
    plain.resize(out.pos);
    return Inflated::ok;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
