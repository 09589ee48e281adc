"""What a report says besides what the database says: each word in both languages, a page in one of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    list_title: str
    list_columns: tuple[str, str]
    yes: str
    no: str
    seconds: str
    first_rows: str
    not_shown: str
    as_of: str
    top: str
    rows: str
    only_read: str
    others: str
    none: str
    all: str
    weekdays: tuple[str, ...]
    hour: str
    by_day: str
    sum_of_others: str
    without_others: str
    ranked: str
    mean_day: str
    rows_of_day: str
    bill_of: str
    costs: str
    share_of_all: str
    change: str
    idle: str
    # plotly's own words, which are English.
    plotly: dict[str, str]


ENGLISH = Words(
    list_title="llm-db report NAME prints one of these",
    list_columns=("report", "what it tells"),
    yes="yes",
    no="no",
    seconds="{} s",
    first_rows="The first {:,} rows; --csv gives all of them.",
    not_shown="Not shown: {}; --csv gives every column.",
    as_of="As of {}",
    top="the largest {:,}",
    rows="rows: {:,}",
    only_read="only the first {:,} rows were read: ask for a shorter time, or with a condition",
    others="Others",
    none="(none)",
    all="All",
    weekdays=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    hour=":00",
    by_day="Added up by day",
    sum_of_others="The largest {}; Others is the sum of the other {}",
    without_others="The largest {}, without the other {}",
    ranked="The largest {} of {}",
    mean_day="Mean of a day",
    rows_of_day="Rows of a day",
    bill_of="Bill of {}, {}",
    costs="Cost: {}",
    share_of_all="{:.1%} of the whole platform",
    change="{:+.1%} against the month before",
    idle="of which idle: {}",
    plotly={},
)
KOREAN = Words(
    list_title="llm-db report NAME: 아래 보고서 하나를 출력",
    list_columns=("보고서", "내용"),
    yes="예",
    no="아니요",
    seconds="{}초",
    first_rows="앞의 {:,}행입니다. 모든 행은 --csv로 받으십시오.",
    not_shown="표시하지 않은 컬럼: {}. 모든 컬럼은 --csv로 받으십시오.",
    as_of="{} 기준",
    top="상위 {:,}행",
    rows="{:,}행",
    only_read="앞의 {:,}행만 읽음: 기간이나 조건으로 좁히십시오",
    others="기타",
    none="(없음)",
    all="전체",
    weekdays=("월", "화", "수", "목", "금", "토", "일"),
    hour="시",
    by_day="하루 단위로 더함",
    sum_of_others="가장 큰 {}개, 기타는 나머지 {}개의 합",
    without_others="가장 큰 {}개, 나머지 {}개는 제외",
    ranked="가장 큰 {}개 (전체 {}개)",
    mean_day="하루 평균",
    rows_of_day="하루의 행 수",
    bill_of="{} 청구서, {}",
    costs="비용: {}",
    share_of_all="플랫폼 전체의 {:.1%}",
    change="이전 월 대비 {:+.1%}",
    idle="그중 유휴: {}",
    plotly={
        "Autoscale": "자동 크기",
        "Box Select": "상자로 선택",
        "Double-click on legend to isolate one trace": "범례를 두 번 누르면 하나만 표시",
        "Double-click to zoom back out": "두 번 누르면 처음 크기로",
        "Download plot as a PNG": "PNG로 내려받기",
        "Lasso Select": "올가미로 선택",
        "Pan": "이동",
        "Reset axes": "축 되돌리기",
        "Snapshot succeeded": "그림을 만들었습니다",
        "Sorry, there was a problem downloading your snapshot!": "그림을 내려받지 못했습니다",
        "Taking snapshot - this may take a few seconds": "그림을 만드는 중입니다",
        "Zoom": "확대할 곳 선택",
        "Zoom in": "확대",
        "Zoom out": "축소",
    },
)
# Of the command line. It does not follow LANG: cron and a terminal are to make the same page.
DEFAULT = "en"
LANGUAGES = {"en": ENGLISH, "ko": KOREAN}
