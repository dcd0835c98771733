"""Words that carry a sentence and say nothing of its subject.

`INDEX_STOP_WORDS` are so frequent that they are left out of the index too: nearly half of running
English, so the index is smaller and faster without them. `QUESTION_STOP_WORDS` are only left out
of questions, and come back where a question has no other word.

Indian entries are written as `words.fold` leaves them (no nukta, candrabindu as anusvara).
"""

from __future__ import annotations

from typing import Final


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text parted by blanks."""
    return frozenset(text.split())


INDEX_STOP_WORDS: Final = word_set(
    """
    a an the and or of to in is are was were be been being it its this that these those as at
    by for from on with but if so than then there their they them he she his her we our us you
    your i me my s t re ve ll d m do does did has have had का की के को में से है हैं था थे थी
    और या यह वह ये वे पर ने तो ही भी कि जो इस उस एक এর এই সেই ও এবং যে তা তার এক একটি হয় ছিল
    আছে ஒரு இந்த அந்த மற்றும் என்று அது இது ஆகும் ఒక ఈ ఆ మరియు అని ఇది అది ഒരു ഈ ആ ഇത് അത്
    എന്ന ആണ് આ તે છે અને એક ಒಂದು ಈ ಆ ಮತ್ತು ಇದು ಅದು ਦਾ ਦੀ ਦੇ ਨੂੰ ਹੈ ਹਨ ਅਤੇ ਇਹ आहे आहेत हा ही हे
    आणि व
    """
)

QUESTION_STOP_WORDS: Final = INDEX_STOP_WORDS | word_set(
    """
    what which who whom whose when where why how can could should would will shall may might
    must please tell explain describe give show find about into over any some all each other
    such only not no yes also just more most much many very one ones am get got let know want
    need mean means happen happens don doesn didn isn aren wasn weren won couldn shouldn
    wouldn cannot क्या कौन कब कहां क्यों कैसे कितना कितने कितनी किस किसने किसका किसकी कोई कुछ
    लिए साथ बारे होता होती होते करता करते करती करना करें कर रहा रहे रही गया गई गए हो सकता सकते
    सकती बताओ बताइए मुझे हम आप मैं अपने कोण केव्हा कुठे का कसे कशी कसा किती कोणते कोणता कोणती
    साठी কি কী কে কখন কোথায় কেন কিভাবে কীভাবে কত কোন করে করা হবে জন্য আমি আপনি என்ன யார்
    எப்போது எங்கே ஏன் எப்படி எவ்வளவு எந்த எது ఏమిటి ఎవరు ఎప్పుడు ఎక్కడ ఎందుకు ఎలా ఎంత ఏది ఏ
    എന്ത് എന്താണ് ആര് എപ്പോൾ എവിടെ എന്തുകൊണ്ട് എങ്ങനെ എത്ര ഏത് શું કોણ ક્યારે ક્યાં કેમ કેવી
    રીતે કેટલા ಏನು ಯಾರು ಯಾವಾಗ ಎಲ್ಲಿ ಏಕೆ ಹೇಗೆ ಎಷ್ಟು ಯಾವ ਕੀ ਕੌਣ ਕਦੋਂ ਕਿੱਥੇ ਕਿਉਂ ਕਿਵੇਂ ਕਿੰਨਾ
    """
)
