// Compressed bodies: what is whole, what is cut, what is a bomb.
#include "telemetry/otlp/inflate.hpp"

#include <gtest/gtest.h>

#include <libdeflate.h>
#include <zstd.h>

namespace dbnet::telemetry {
namespace {

std::string gzip(const std::string &plain) {
    libdeflate_compressor *const compressor = libdeflate_alloc_compressor(6);
    std::string packed(libdeflate_gzip_compress_bound(compressor, plain.size()), '\0');
    packed.resize(libdeflate_gzip_compress(compressor, plain.data(), plain.size(), packed.data(), packed.size()));
    libdeflate_free_compressor(compressor);
    return packed;
}

std::string zstd(const std::string &plain, int window = 0) {
    ZSTD_CCtx *const context = ZSTD_createCCtx();
    if (window > 0) {
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window);
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
        ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1);
    }
    std::string packed(ZSTD_compressBound(plain.size()) + 64, '\0');
    ZSTD_outBuffer out{packed.data(), packed.size(), 0};
    ZSTD_inBuffer in{plain.data(), plain.size(), 0};
    while (window > 0 && in.pos < in.size) // in pieces, so that the window is as asked and not as small as the text
        ZSTD_compressStream2(context, &out, &in, ZSTD_e_continue);
    EXPECT_EQ(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end), 0u);
    ZSTD_freeCCtx(context);
    packed.resize(out.pos);
    return packed;
}

using Inflate = Inflated (*)(std::string_view, size_t, std::string &);
constexpr size_t megabyte = 1024 * 1024;

struct Format {
    Inflate inflate;
    std::function<std::string(const std::string &)> pack;
} const formats[] = {{inflate_gzip, gzip}, {inflate_zstd, [](const std::string &plain) { return zstd(plain); }}};

TEST(TelemetryInflate, WhatIsWhole) {
    for (const Format &format : formats)
        for (const std::string &text :
             {std::string(), std::string("x"), std::string(100000, 'y'), std::string(3 * megabyte, 'z')}) {
            std::string plain;
            EXPECT_EQ(format.inflate(format.pack(text), 4 * megabyte, plain), Inflated::ok) << text.size();
            EXPECT_EQ(plain, text);
            EXPECT_EQ(format.inflate(format.pack(text) + format.pack("and") + format.pack(""), 4 * megabyte, plain),
                      Inflated::ok);
            EXPECT_EQ(plain, text + "and");
        }
}

TEST(TelemetryInflate, TheLimitIsExact) {
    for (const Format &format : formats)
        for (const size_t size : {size_t(1), size_t(100000), megabyte}) {
            std::string plain;
            const std::string packed = format.pack(std::string(size, 'x'));
            EXPECT_EQ(format.inflate(packed, size, plain), Inflated::ok) << size;
            EXPECT_EQ(plain.size(), size);
            EXPECT_EQ(format.inflate(packed, size - 1, plain), Inflated::too_large) << size;
            EXPECT_EQ(format.inflate(packed + packed, 2 * size - 1, plain), Inflated::too_large) << size;
        }
}

TEST(TelemetryInflate, ABombTakesNoMoreThanTheLimit) {
    for (const Format &format : formats) {
        std::string plain;
        EXPECT_EQ(format.inflate(format.pack(std::string(64 * megabyte, '\0')), megabyte, plain), Inflated::too_large);
        EXPECT_LE(plain.capacity(), 2 * megabyte);
    }
}

TEST(TelemetryInflate, WhatIsBroken) {
    for (const Format &format : formats) {
        std::string text;
        for (int i = 0; i < 2000; ++i)
            text += std::to_string(i * i);
        const std::string good = format.pack(text);
        std::string plain;
        for (size_t size = 0; size < good.size(); size += 1 + size / 8)
            EXPECT_EQ(format.inflate(good.substr(0, size), megabyte, plain), Inflated::broken) << size;
        EXPECT_EQ(format.inflate(good + "rubbish", megabyte, plain), Inflated::broken);
        EXPECT_EQ(format.inflate("{}", megabyte, plain), Inflated::broken);
    }
    std::string wrong = gzip("text");
    wrong[wrong.size() - 5] ^= 1; // its checksum
    std::string plain;
    EXPECT_EQ(inflate_gzip(wrong, megabyte, plain), Inflated::broken);
}

TEST(TelemetryInflate, TheWindowOfZstdIsLimited) {
    const std::string text(1000, 'x');
    std::string plain;
    EXPECT_EQ(inflate_zstd(zstd(text, 23), megabyte, plain), Inflated::ok);
    EXPECT_EQ(inflate_zstd(zstd(text, 24), megabyte, plain), Inflated::broken);
}

} // namespace
} // namespace dbnet::telemetry
