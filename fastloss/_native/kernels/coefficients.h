/* Written by tools/minimax.py; do not edit: change the script and run it again.
 *
 * Coefficients are in order c0, c1, ..., cn, lowest order first. The errors given are those of the formula with these
 * rounded coefficients in exact arithmetic; the rounding of each operation comes on top. Relative errors and ULP are
 * those of the function on the left. */
#ifndef FASTLOSS_COEFFICIENTS_H
#define FASTLOSS_COEFFICIENTS_H

/* e^r = 1 + r + r^2 Q(r)
 * |r| <= 1.01 ln(2)/2; degree 4; relative error 2^-28.15, 0.0464 ULP */
#define EXP_Q_F32_DEGREE 4
#define EXP_Q_F32 { \
    0x1.fffffcp-2f, 0x1.55548cp-3f, 0x1.5558b8p-5f, 0x1.123e58p-7f, \
    0x1.6a4d66p-10f }

/* e^r = 1 + r + r^2 Q(r)
 * |r| <= 1.01 ln(2)/2; degree 10; relative error 2^-63.70, 0.0005 ULP */
#define EXP_Q_F64_DEGREE 10
#define EXP_Q_F64 { \
    0x1p-1, 0x1.555555555555bp-3, 0x1.555555555552ep-5, 0x1.111111110edp-7, \
    0x1.6c16c16c27e6bp-10, 0x1.a01a01b3866e4p-13, 0x1.a01a014f61309p-16, 0x1.71ddef8f778dap-19, \
    0x1.27e59018f2363p-22, 0x1.af6d86cba9ab6p-26, 0x1.1e67b37244401p-29 }

/* log(1 + f) = 2 s + s^3 R(s^2), s = f / (2 + f)
 * |s| <= 1.01 (3 - 2 sqrt(2)); degree 2; relative error 2^-30.09, 0.0143 ULP */
#define LOG1P_R_F32_DEGREE 2
#define LOG1P_R_F32 { \
    0x1.55557cp-1f, 0x1.995c9ep-2f, 0x1.32225cp-2f }

/* log(1 + f) = 2 s + s^3 R(s^2), s = f / (2 + f)
 * |s| <= 1.01 (3 - 2 sqrt(2)); degree 6; relative error 2^-59.27, 0.0128 ULP */
#define LOG1P_R_F64_DEGREE 6
#define LOG1P_R_F64 { \
    0x1.555555555559bp-1, 0x1.999999997cb34p-2, 0x1.24924944f3c04p-2, 0x1.c71c4f6eaadcp-3, \
    0x1.7466cf43495b5p-3, 0x1.399279efd7201p-3, 0x1.2fa5a7555bcc3p-3 }

/* log(1 + e) = e + e^2 P(e)
 * 0 <= e <= 1; degree 8; relative error 2^-27.49, 0.0879 ULP */
#define LOG1P_UNIT_F32_DEGREE 8
#define LOG1P_UNIT_F32 { \
    -0x1.ffffd2p-2f, 0x1.554ddp-2f, -0x1.ff23e6p-3f, 0x1.934b54p-3f, \
    -0x1.3a436p-3f, 0x1.b4ae2p-4f, -0x1.d6b0f4p-5f, 0x1.49189p-6f, \
    -0x1.af4bdep-9f }

/* log(1 + e) = e + e^2 P(e)
 * 0 <= e <= 1; degree 19; relative error 2^-56.55, 0.0842 ULP */
#define LOG1P_UNIT_F64_DEGREE 19
#define LOG1P_UNIT_F64 { \
    -0x1.fffffffffff9fp-2, 0x1.5555555551051p-2, -0x1.fffffffdd49b5p-3, 0x1.99999951f9d76p-3, \
    -0x1.55554fbe4fbe4p-3, 0x1.2491fed8d688dp-3, -0x1.fffa8bc00e0bfp-4, 0x1.c6f6a7dc8c328p-4, \
    -0x1.98d2951199463p-4, 0x1.712df06fea9edp-4, -0x1.4b02119d8e7e3p-4, 0x1.202dd342e2e41p-4, \
    -0x1.d710f2d49fa37p-5, 0x1.5a88b2954e2f6p-5, -0x1.b631984b1caecp-6, 0x1.c57dab92b12bp-7, \
    -0x1.6b4d023982cd5p-8, 0x1.a259f93e06145p-10, -0x1.31f71164d4442p-12, 0x1.a903a7b81f224p-16 }

/* e^r - 1 = r + r^2/2 + r^3 G(r)
 * |r| <= 1.01 ln(2)/2; degree 4; relative error 2^-31.02, 0.0065 ULP */
#define EXPM1_G_F32_DEGREE 4
#define EXPM1_G_F32 { \
    0x1.555554p-3f, 0x1.5554f4p-5f, 0x1.1112d2p-7f, 0x1.6d4048p-10f, \
    0x1.9e870cp-13f }

/* e^r - 1 = r + r^2/2 + r^3 G(r)
 * |r| <= 1.01 ln(2)/2; degree 9; relative error 2^-61.51, 0.0024 ULP */
#define EXPM1_G_F64_DEGREE 9
#define EXPM1_G_F64 { \
    0x1.5555555555559p-3, 0x1.5555555555549p-5, 0x1.111111110f5c2p-7, 0x1.6c16c16c1ca1fp-10, \
    0x1.a01a01b06a433p-13, 0x1.a01a018413c22p-16, 0x1.71ddf6b05dc16p-19, 0x1.27e527ff5a54ep-22, \
    0x1.af621948ebb63p-26, 0x1.1efbf9e177024p-29 }

/* log(cosh(x)) = x^2/2 + x^4 C(x^2)
 * |x| <= 0.75; degree 4; relative error 2^-27.61, 0.0816 ULP */
#define LOGCOSH_C_F32_DEGREE 4
#define LOGCOSH_C_F32 { \
    -0x1.55552p-4f, 0x1.6c0128p-6f, -0x1.b73cfep-8f, 0x1.08d6bep-9f, \
    -0x1.c6fadep-12f }

/* log(cosh(x)) = x^2/2 + x^4 C(x^2)
 * |x| <= 0.75; degree 11; relative error 2^-58.66, 0.0195 ULP */
#define LOGCOSH_C_F64_DEGREE 11
#define LOGCOSH_C_F64 { \
    -0x1.5555555555537p-4, 0x1.6c16c16c13239p-6, -0x1.ba1ba1b7b2958p-8, 0x1.1ea5d33473344p-9, \
    -0x1.833d88240476ap-11, 0x1.0d0a0ad71a013p-12, -0x1.7d87b0ca15c9cp-14, 0x1.122ab977a8564p-15, \
    -0x1.88d79e240c739p-17, 0x1.09a8ef47e3f0ap-18, -0x1.24ec8186b761ap-20, 0x1.71fcd5c6f634cp-23 }

/* ln(2) = hi + lo to 2^-44.05; n * hi is exact for |n| <= 256 */
#define LN2_HI_F32 0x1.62e4p-1f
#define LN2_LO_F32 0x1.7f7d1cp-20f
#define LOG2E_F32 0x1.715476p0f
#define HALF_LOG_2PI_F32 0x1.d67f1cp-1f

/* ln(2) = hi + lo to 2^-102.02; n * hi is exact for |n| <= 2048 */
#define LN2_HI_F64 0x1.62e42fefa4p-1
#define LN2_LO_F64 -0x1.8432a1b0e2634p-43
#define LOG2E_F64 0x1.71547652b82fep0
#define HALF_LOG_2PI_F64 0x1.d67f1c864beb5p-1

#endif
